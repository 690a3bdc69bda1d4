//! The cluster suite: the stories that `tests/cluster/run` tells on a real Kubernetes, one after another, each readable
//! by itself. A story is a function of its own file; `kubectl` is how it speaks to the cluster.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is what it is for"
)]

mod by_hand;
mod calls;
mod figures;
mod install;
mod kubectl;
mod propagation;
mod restart;
mod rig;
mod traffic;
mod trust;
mod uninstall;
mod walkthrough;

use std::process::ExitCode;
use std::time::Instant;

/// A name to choose it by, and what happens in it.
type Story = (&'static str, fn() -> anyhow::Result<()>);

/// In the order in which they are told. `install` comes before all that need it, whichever are chosen.
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
    (
        "install: two ready replicas, a trusted webhook, an upgrade that keeps it",
        install::install,
    ),
    (
        "walk-through: both versions in turn, then by the client's labels",
        walkthrough::walkthrough,
    ),
    (
        "by hand: `outrigger inject`, also for manifests of Kubernetes 1.14",
        by_hand::by_hand,
    ),
    (
        "calls: a Job completes, with a call through its proxy",
        calls::job,
    ),
    (
        "calls: a pod calls itself through its own Service",
        calls::to_itself,
    ),
    (
        "calls: a Service has the mesh's own port numbers",
        calls::to_our_ports,
    ),
    (
        "calls: dialling the proxy itself ends at once",
        calls::to_the_proxy,
    ),
    ("calls: a pod that is in no Service", calls::past_the_mesh),
    ("calls: TCP with a half-closed connection", calls::half_closed),
    (
        "calls: a rule that names a missing subset breaks its own route only",
        calls::to_a_missing_subset,
    ),
    (
        "calls: who does not want a proxy has none",
        calls::without_a_proxy,
    ),
    (
        "restart: the control plane is replaced under traffic, and pods are created meanwhile",
        restart::control_plane,
    ),
    (
        "restart: the servers are replaced under traffic",
        restart::servers,
    ),
    (
        "propagation: how soon a proxy follows a rule and an endpoint",
        propagation::propagation,
    ),
    ("trust: what is taken away comes back", trust::repaired),
    (
        "figures: the webhook's latency as the API server sees it",
        figures::webhook,
    ),
    (
        "figures: memory of proxy and control plane, size of the image",
        figures::sizes,
    ),
    (
        "uninstall: pods can be created all the while, and rules go on",
        uninstall::uninstall,
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
    let mut failed = Vec::new();
    for (name, story) in &chosen {
        println!("[{:4} s] {name}", started.elapsed().as_secs());
        if let Err(error) = story() {
            println!("[{:4} s] FAILED: {name}: {error:#}", started.elapsed().as_secs());
            kubectl::report();
            failed.push(name);
        }
    }
    if failed.is_empty()
        && let Err(error) = calls::clean()
    {
        eprintln!("{error:#}");
    }
    println!("[{:4} s] all stories are told", started.elapsed().as_secs());
    failed.iter().for_each(|name| println!("failed: {name}"));
    println!("{} passed, {} failed", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
