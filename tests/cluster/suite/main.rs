//! The cluster suite: the stories that `tests/cluster/run` tells on a real Kubernetes, each readable by itself.
//! A story is a function of its own file; `programme` has them all, `kubectl` is how one speaks to the cluster.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is what it is for"
)]

mod annotations;
mod by_hand;
mod calls;
mod corpus;
mod crowd;
mod dual_stack;
mod figures;
mod install;
mod kubectl;
mod load;
mod nodes;
mod other_webhook;
mod probes;
mod programme;
mod propagation;
mod protocols;
mod reinvocation;
mod restart;
mod revisions;
mod rig;
mod scene;
mod security;
mod sidecars;
mod smuggling;
mod told;
mod traffic;
mod trust;
mod uninstall;
mod walkthrough;

/// What generates pods for the properties of `tests/pods`.
#[path = "../../pods"]
mod properties {
    #[expect(dead_code, unused_imports, reason = "the properties use more of it")]
    mod strategy;

    /// Pods that Kubernetes accepts, in any mix.
    pub(crate) fn pods() -> proptest::strategy::BoxedStrategy<serde_json::Value> {
        strategy::pods()
    }
}

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use programme::{ACTS, Chapter, Story};

/// How many chapters are told at a time: more would not be sooner done on a machine with few cores.
const VOICES: usize = 4;

fn main() -> ExitCode {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let all = || ACTS.iter().copied().flatten().flat_map(|chapter| chapter.stories);
    let chosen = |(name, _): &&Story| name.contains(&filter);
    let count = all().filter(chosen).count();
    if count == 0 {
        eprintln!("no story has {filter:?} in its name; there are:");
        all().for_each(|(name, _)| eprintln!("  {name}"));
        return ExitCode::from(2);
    }
    let started = Instant::now();
    let failed = Mutex::new(vec![]);
    for act in ACTS {
        let waiting = Mutex::new(act.iter());
        let next = || waiting.lock().expect("no story panics with it").next();
        std::thread::scope(|scope| {
            for _ in 0..VOICES {
                scope.spawn(|| {
                    while let Some(chapter) = next() {
                        let stories: Vec<_> = chapter.stories.iter().filter(chosen).collect();
                        tell(chapter, &stories, started, &failed);
                    }
                });
            }
        });
    }
    let failed = failed.into_inner().expect("no story panics with it");
    println!("[{:4} s] all stories are told", started.elapsed().as_secs());
    failed.iter().for_each(|name| println!("failed: {name}"));
    println!("{} passed, {} failed", count - failed.len(), failed.len());
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Tells the stories of a chapter that were chosen, and says which are not true.
fn tell(chapter: &Chapter, stories: &[&Story], started: Instant, failed: &Mutex<Vec<&str>>) {
    let mut well = true;
    for (name, story) in stories {
        println!("[{:4} s] {name}", started.elapsed().as_secs());
        let since = Instant::now();
        match story() {
            Ok(()) => println!(
                "[{:4} s] {name}: told in {:.1} s",
                started.elapsed().as_secs(),
                since.elapsed().as_secs_f64()
            ),
            Err(error) => {
                // One report at a time, or nobody could read them.
                let mut failed = failed.lock().expect("no story panics with it");
                println!("[{:4} s] FAILED: {name}: {error:#}", started.elapsed().as_secs());
                kubectl::report();
                failed.push(name);
                well = false;
            }
        }
    }
    if let Some(scene) = chapter.scene
        && well
        && let Err(error) = scene.clean()
    {
        eprintln!("{error:#}");
    }
}
