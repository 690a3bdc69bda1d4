//! `outrigger-proxy`: `run` beside a pod's application, `init` once before it, `wait` between the two. Ends with 0 when
//! the work is done, 1 when it failed, 2 for a wrong command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use outrigger_proxy::app;
use outrigger_proxy::config::RunArgs;
use outrigger_proxy::init::{self, InitArgs};
use outrigger_proxy::wait::{self, WaitArgs};
use outrigger_proxy::workers::Workers;

#[derive(Debug, Parser)]
#[command(version, about = "The Outrigger sidecar proxy")]
struct Cli {
    /// What is logged, as in `info` or `outrigger_proxy=debug`
    #[arg(long, env = "OUTRIGGER_LOG", default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry the pod's connections
    Run(RunArgs),
    /// Redirect the pod's connections to the proxy, once, before it starts; or prove that something else does
    Init(InitArgs),
    /// Wait until the proxy in this pod is ready: it has spoken to the control plane
    Wait(WaitArgs),
}

/// A request is some hundred small allocations and as many releases, on the same thread.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = cli.log.parse::<Targets>();
    let bad_filter = filter.as_ref().err().map(ToString::to_string);
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer())
        .with(filter.unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO)))
        .init();
    if let Some(error) = bad_filter {
        tracing::warn!(log = cli.log, error, "not a log filter; info is used");
    }
    match start(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<()> {
    // tonic's TLS takes the process's default; there is only one provider in this program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Run(args) => run(args).await,
            Command::Init(args) => init::run(args).await,
            Command::Wait(args) => wait::run(args).await,
        }
    });
    // Connections that outlived the drain are closed, not waited for.
    runtime.shutdown_background();
    outcome
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    // The probe is the thing itself: whether a socket of the family can be bound.
    let ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let bound = app::build(args.resolve(ipv6)?)?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    bound.run(shutdown, Workers::start()?).await;
    Ok(())
}
