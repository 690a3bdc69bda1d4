//! What the control plane costs in a large cluster, without one: the real feed, world, compiler and discovery over TLS in one
//! process, a thousand clients in another. `run` starts both and measures; `controller` and `proxies` are its halves.

mod cluster;
mod controller;
mod lines;
mod measure;
mod process;
mod proxies;
mod report;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// The one of `outrigger`, whose memory is measured.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Simulates proxies and a cluster, and measures the control plane between them
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures, and prints a table
    Run {
        /// Sizes of the cluster in services; ten endpoints each, and a rule of each kind for every tenth
        #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
        services: Vec<usize>,
        /// Clients
        #[arg(long, default_value_t = 1000)]
        proxies: usize,
        /// Changes of each kind that are timed
        #[arg(long, default_value_t = 100)]
        changes: usize,
        /// How long endpoints change steadily, in seconds
        #[arg(long, default_value_t = 10)]
        churn: u64,
        /// Where to write the figures as JSON
        #[arg(long, default_value = "target/scale.json")]
        json: PathBuf,
    },
    /// The control plane, told by lines on standard input what happens in the cluster
    Controller {
        #[command(flatten)]
        cluster: cluster::Cluster,
    },
    /// The proxies, told by lines on standard input what to wait for
    Proxies {
        #[command(flatten)]
        cluster: cluster::Cluster,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // Libraries that are not told a crypto provider take the process's.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Run {
                services,
                proxies,
                changes,
                churn,
                json,
            } => {
                let mut figures = Vec::new();
                for services in services {
                    let cluster = cluster::Cluster { services, proxies };
                    figures.push(measure::measure(cluster, changes, churn).await?);
                }
                report::write(&figures, &json)
            }
            Command::Controller { cluster } => controller::run(cluster).await,
            Command::Proxies { cluster } => proxies::run(cluster).await,
        }
    })
}
