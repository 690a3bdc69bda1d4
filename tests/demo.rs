//! `outrigger demo` as its users meet it: the walk-through's table, a directory that is edited, a mistake in it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use outrigger::cli::{Cli, Command};
use outrigger::demo::{DemoArgs, show};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const WALKTHROUGH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/walkthrough");

fn args(words: &[&str]) -> DemoArgs {
    match Cli::try_parse_from(["outrigger", "demo"].iter().chain(words))
        .expect("a command line")
        .command
    {
        Command::Demo(args) => args,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_through_ends_with_its_table() {
    let mut out = Vec::new();
    show(args(&["--once"]), CancellationToken::new(), &mut out)
        .await
        .expect("what the rules say");
    let out = String::from_utf8(out).expect("text");
    let rows: Vec<Vec<&str>> = out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let url = "helloworld.default.svc.cluster.local:5000/hello";
    let expected: [&[&str]; 2] = [
        &["curl", url, "v1", "v2", "v1", "v2", "v1", "v1", "v1", "v1"],
        &["curl1", url, "v1", "v2", "v1", "v2", "v1", "v2", "v1", "v2"],
    ];
    for row in expected {
        assert!(rows.iter().any(|seen| seen == row), "{row:?} is not in\n{out}");
    }
    let ready = rows.iter().filter(|row| row.get(1) == Some(&"2/2"));
    assert_eq!(ready.count(), 4, "{out}");
}

/// Lines as they are printed.
struct Lines(mpsc::UnboundedSender<String>, String);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.push_str(&String::from_utf8_lossy(bytes));
        while let Some((line, rest)) = self.1.split_once('\n') {
            let _ = self.0.send(line.to_owned());
            self.1 = rest.to_owned();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn until(lines: &mut mpsc::UnboundedReceiver<String>, part: &str) -> String {
    let find = async {
        loop {
            let line = lines.recv().await.expect("the demo goes on");
            if line.contains(part) {
                return line;
            }
        }
    };
    timeout(PATIENCE, find)
        .await
        .unwrap_or_else(|_| panic!("no line with {part:?}"))
}

fn ask(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the proxy's port");
    stream
        .write_all(b"GET /hello HTTP/1.1\r\nhost: helloworld:5000\r\nconnection: close\r\n\r\n")
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn copy(directory: &Path) {
    for file in ["helloworld.yaml", "curl.yaml", "rules.yaml"] {
        std::fs::copy(Path::new(WALKTHROUGH).join(file), directory.join(file)).expect("a copy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_rule_moves_the_next_requests_and_a_mistake_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    copy(directory.path());
    let (sender, mut lines) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (args, shutdown) = (
            args(&[directory.path().to_str().expect("text")]),
            shutdown.clone(),
        );
        async move { show(args, shutdown, &mut Lines(sender, String::new())).await }
    });
    let command = until(&mut lines, "# curl-deploy-1").await;
    let address = command
        .split_whitespace()
        .find_map(|word| word.strip_prefix("::"))
        .expect("an address")
        .to_owned();
    until(&mut lines, "Ctrl-C ends").await;
    assert!(ask(&address).contains("version: v1"), "the walk-through's rule");

    let rules = directory.path().join("rules.yaml");
    let good = std::fs::read_to_string(&rules).expect("the rules");
    std::fs::write(&rules, good.replace("subset: v1", "subset: v2")).expect("edited");
    until(&mut lines, "read again: 2 rules").await;
    let moved = async {
        while !ask(&address).contains("version: v2") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, moved).await.expect("the requests move");

    std::fs::write(
        &rules,
        good.replace("hosts:\n    - helloworld", "hosts: helloworld"),
    )
    .expect("broken");
    let fault = until(&mut lines, "rules.yaml:").await;
    assert!(
        fault.contains("VirtualService default/helloworld spec.hosts"),
        "{fault}"
    );
    until(&mut lines, "last good").await;
    assert!(ask(&address).contains("version: v2"), "the last good rules stay");
    shutdown.cancel();
    running.await.expect("no panic").expect("a clean end");
}
