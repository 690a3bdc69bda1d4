//! The cluster suite: the stories that `tests/cluster/run` tells on a real Kubernetes, one after another, each readable
//! by itself. A story is a function of its own file; `kubectl` is how it speaks to the cluster.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is what it is for"
)]

mod kubectl;
mod rig;

use std::process::ExitCode;
use std::time::Instant;

/// A name to choose it by, and what happens in it.
type Story = (&'static str, fn() -> anyhow::Result<()>);

const STORIES: &[Story] = &[
    ("rig: services, DNS, exec and logs", rig::services),
    (
        "rig: a native sidecar serves the init containers and lets a Job complete",
        rig::native_sidecar,
    ),
    (
        "rig: both kinds of iptables work in an init container",
        rig::iptables,
    ),
];

fn main() -> ExitCode {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let chosen: Vec<_> = STORIES
        .iter()
        .filter(|(name, _)| name.contains(&filter))
        .collect();
    if chosen.is_empty() {
        eprintln!("no story has {filter:?} in its name; there are:");
        STORIES.iter().for_each(|(name, _)| eprintln!("  {name}"));
        return ExitCode::from(2);
    }
    let started = Instant::now();
    for (name, story) in chosen {
        println!("[{:4} s] {name}", started.elapsed().as_secs());
        if let Err(error) = story() {
            println!("[{:4} s] FAILED: {name}: {error:#}", started.elapsed().as_secs());
            kubectl::report();
            return ExitCode::FAILURE;
        }
    }
    println!("[{:4} s] all stories are true", started.elapsed().as_secs());
    ExitCode::SUCCESS
}
