//! What VirtualServices mean: the tables of testdata/rules, through the compiler and the proxy's own matcher, and once more
//! through a whole mesh on loopback.
//! `testdata/rules/README.md` says how a table is read.

mod case;
mod outcome;
mod properties;
mod request;
mod simulator;
mod strategy;
mod validation;

use std::collections::BTreeSet;
use std::path::PathBuf;

use case::Case;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/rules")
}

fn text(name: &str) -> String {
    let path = directory().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every row of a table, and every problem of its objects; all that differs is told at once.
fn table(name: &str) {
    let cluster = text("cluster.yaml");
    let (mut rows, mut differences) = (0, String::new());
    for case in Case::all(&text(name)) {
        let world = case.world(&cluster);
        let mut differs = |of: &str, seen: &str, expected: &str| {
            if seen != expected {
                let title = &case.title;
                differences +=
                    &format!("\n{name}, {title}\n  {of}\n    is       {seen}\n    expected {expected}\n");
            }
        };
        for row in &case.rows {
            rows += 1;
            differs(&row.asked, &request::answer(&world, &row.asked), &row.expected);
        }
        let seen = case::problems(&world, &case.objects);
        for problem in seen.symmetric_difference(&case.problems) {
            let there = |set: &BTreeSet<String>| {
                if set.contains(problem) {
                    problem.clone()
                } else {
                    String::new()
                }
            };
            differs("problem", &there(&seen), &there(&case.problems));
        }
    }
    assert!(differences.is_empty(), "{differences}");
    assert!(rows > 0, "{name} has no rows");
}

/// Each with what of it the simulator does not look for.
macro_rules! tables {
    ($($test:ident $file:literal [$($unseen:ident $count:literal),*])*) => {
        $(#[test] fn $test() { table($file); })*

        mod on_loopback {
            use crate::rules::simulator::{self, Unseen};

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let unseen: &[(Unseen, usize)] = &[$((Unseen::$unseen, $count)),*];
                simulator::table($file, unseen).await;
            })*
        }

        #[test]
        fn no_table_is_forgotten() {
            let known = BTreeSet::from(["README.md", "cluster.yaml", "validation.txt", $($file),*]);
            for entry in std::fs::read_dir(directory()).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(known.contains(name.as_str()), "{name} is run by no test");
            }
        }
    };
}

tables! {
    conditions "conditions.yaml" []
    clients "clients.yaml" []
    destinations "destinations.yaml" []
    actions "actions.yaml" [Rare 4, Long 1, Unreachable 1, Backoff 1]
    answers "answers.yaml" []
    precedence "precedence.yaml" []
    delegates "delegates.yaml" [Rare 4, Unreachable 1]
    tcp_and_tls "tcp-tls.yaml" []
    entries "entries.yaml" []
    sidecars "sidecars.yaml" []
    mistakes "mistakes.yaml" []
}

#[test]
fn what_cannot_be_meant_is_said() {
    validation::table(&text("validation.txt"));
}

#[test]
fn no_mistake_makes_the_proxy_refuse_a_service() {
    validation::never_refused(&text("validation.txt"), &text("cluster.yaml"));
}
