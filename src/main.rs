//! `outrigger`: reads the command line, sets up logging, and hands over.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use mimalloc::MiMalloc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use outrigger::cli::{Cli, Command};
use outrigger::inject::manifest::Outcome;
use outrigger::{api, check, controller, demo, explain, manifests, probe};

/// An answer to a review is some thousand small allocations: half of its time with the C library's allocator, and less with
/// this one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The exit code for a wrong command line, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let log = cli.log.as_deref().unwrap_or(match cli.command {
        Command::Controller(_) => "info",
        // The proxies of the demo share its terminal: only what the rules' author can mend is shown.
        Command::Demo(_) => "warn,outrigger_proxy=error",
        _ => "warn",
    });
    let filter = match log.parse::<Targets>() {
        Ok(filter) => filter,
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "error: --log {log:?}: {error}; it must be as in outrigger=debug,warn"
            );
            return ExitCode::from(USAGE);
        }
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colours(&std::io::stderr()));
    tracing_subscriber::registry().with(lines).with(filter).init();
    // Libraries that are not told a crypto provider take the process's; there is one for all.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let out = &mut std::io::stdout();
    match command {
        Command::Controller(args) => controller::run(args, on_signal(shutdown)?).await,
        Command::Demo(args) => demo::run(args, on_signal(shutdown)?).await,
        Command::Inject(args) => print(manifests::inject(&args, colours(out)).await?),
        Command::Uninject(args) => print(manifests::uninject(&args, colours(out))?),
        Command::Check(args) => check::run(&args).await,
        Command::Explain(args) => {
            let (text, refused) = explain::explain(&args).await?;
            out.write_all(text.as_bytes())?;
            refused.map_or(Ok(()), |why| Err(anyhow::anyhow!("the request {why}")))
        }
        Command::Crds => Ok(out.write_all(api::crds_yaml()?.as_bytes())?),
        Command::Probe(args) => Ok(out.write_all(probe::probe(args).await?.as_bytes())?),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "outrigger", out);
            Ok(())
        }
        Command::Version => Ok(writeln!(out, "outrigger {}", env!("CARGO_PKG_VERSION"))?),
    }
}

/// What was done goes to stderr, so that stdout can be piped.
fn print(outcome: Outcome) -> anyhow::Result<()> {
    for note in &outcome.notes {
        writeln!(std::io::stderr(), "{note}")?;
    }
    Ok(std::io::stdout().write_all(outcome.text.as_bytes())?)
}

/// Whether a reader of the stream sees colours and wants them (no-color.org).
fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Cancels `shutdown` on SIGTERM and on Ctrl-C.
fn on_signal(shutdown: CancellationToken) -> anyhow::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}
