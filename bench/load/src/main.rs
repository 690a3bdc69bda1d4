//! `outrigger-bench-load`: one command for each thing that a benchmark needs and Debian has no program for. All of them run
//! on one thread, which the caller pins to a CPU.

mod floor;

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Copy TCP connections to an address
    Floor { listen: SocketAddr, to: SocketAddr },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        match args.command {
            Command::Floor { listen, to } => floor::run(listen, to).await,
        }
    })
}
