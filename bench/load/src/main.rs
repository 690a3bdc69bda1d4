//! `outrigger-bench-load`: one command for each thing that a benchmark needs and Debian has no program for. All of them run
//! on one thread, which the caller pins to a CPU.

mod floor;
mod grpc;
mod held;
mod open;
mod pass;

use std::net::SocketAddr;
use std::time::Duration;

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
    /// Pass HTTP/1.1 on to an address
    Pass { listen: SocketAddr, to: SocketAddr },
    /// Serve HTTP/1.1 with requests that wait, for `open`
    Held { listen: SocketAddr },
    /// Hold connections open, first with a request each and then idle; SERVER is `held` without a proxy
    Open {
        address: SocketAddr,
        server: SocketAddr,
        connections: usize,
    },
    /// Send requests on some connections for some seconds
    Warm {
        address: SocketAddr,
        connections: usize,
        seconds: f64,
    },
    /// Serve gRPC that sends back what it gets
    Echo { listen: SocketAddr },
    /// Send gRPC messages at a fixed rate
    Grpc(grpc::Load),
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
            Command::Pass { listen, to } => pass::run(listen, to).await,
            Command::Held { listen } => held::run(listen).await,
            Command::Open {
                address,
                server,
                connections,
            } => open::run(address, server, connections).await,
            Command::Warm {
                address,
                connections,
                seconds,
            } => open::warm(address, connections, Duration::from_secs_f64(seconds)).await,
            Command::Echo { listen } => grpc::echo(listen).await,
            Command::Grpc(load) => grpc::load(load).await,
        }
    })
}
