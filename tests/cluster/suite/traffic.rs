//! Steady traffic from pods, so that a story can say what its clients noticed: every answer and every failure is counted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::kubectl::Namespace;

/// Clients at work, in the namespace of their pods.
pub(crate) struct Traffic<'a> {
    namespace: &'a Namespace,
    pods: Vec<&'a str>,
    clients: Vec<(Child, JoinHandle<std::io::Result<Vec<Answer>>>)>,
}

/// What the clients were answered, in the order in which each of them was.
pub(crate) struct Answers(pub(crate) Vec<Answer>);

/// What became of one request.
pub(crate) struct Answer {
    /// When its client said so.
    pub(crate) at: Instant,
    /// How long it took, as its client says.
    pub(crate) took: Duration,
    /// The version that answered, if one did.
    pub(crate) version: String,
    /// Which try of the client's proxy was answered, if one was.
    pub(crate) tries: Option<u32>,
    /// The status, where 000 is none at all, with curl's reason.
    pub(crate) outcome: String,
}

/// A line for each request at once, and not when some kilobytes of them are there. Its end is marked: a curl that is stopped
/// in the middle of a line leaves one without.
const LINE: &str =
    "-w '%{stderr}%{time_total} %header{x-version} %header{x-try}|%{http_code} %{errormsg};\\n' 2>&1";

impl<'a> Traffic<'a> {
    /// Starts four clients in the walk-through's two client pods.
    pub(crate) fn start(namespace: &'a Namespace) -> Result<Self> {
        let clients = ["deploy/curl-deploy", "deploy/curl-deploy1"];
        Self::between(namespace, &clients.map(|client| (client, "helloworld")))
    }

    /// Starts two clients in each pod, which ask a service like the walk-through's: one keeps its connection, and one makes
    /// a new one for each request, both at up to 20 requests a second.
    pub(crate) fn between(namespace: &'a Namespace, pairs: &[(&'a str, &str)]) -> Result<Self> {
        let mut traffic = Self {
            namespace,
            pods: pairs.iter().map(|(pod, _)| *pod).collect(),
            clients: vec![],
        };
        for (pod, service) in pairs {
            let url = format!("http://{service}.{}.svc.cluster.local:5000/hello", namespace.0);
            let curl = format!("curl -s -m 10 -o /dev/null {LINE}");
            let kept = format!("{curl} --rate 20/s '{url}?[1-1000000]'");
            let new = format!("while [ ! -e /tmp/stop ]; do {curl} {url}; sleep 0.05; done");
            namespace.shell(pod, "busybox rm -f /tmp/stop")?;
            for script in [&kept, &new] {
                let mut child = Command::new("kubectl")
                    .args(["-n", namespace.0, "exec", pod, "-c", "curl"])
                    .args(["--", "sh", "-c", script])
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .context("kubectl exec")?;
                let output = child.stdout.take().expect("stdout is piped");
                traffic
                    .clients
                    .push((child, std::thread::spawn(move || read(output))));
            }
        }
        Ok(traffic)
    }

    /// Stops the clients and counts.
    pub(crate) fn stop(self) -> Result<Answers> {
        for pod in self.pods {
            let stop = ": > /tmp/stop; busybox killall curl";
            self.namespace.shell(pod, stop)?;
        }
        let mut answers = vec![];
        for (mut child, reader) in self.clients {
            child.wait()?;
            let read = reader.join().expect("the reader does not panic")?;
            ensure!(!read.is_empty(), "a client has not sent anything");
            answers.extend(read);
        }
        Ok(Answers(answers))
    }
}

/// What a client says, until it ends.
fn read(output: ChildStdout) -> std::io::Result<Vec<Answer>> {
    let mut answers = vec![];
    // What has no mark is said by somebody else, unless it is the last.
    let mut unmarked = None;
    let mut output = BufReader::new(output);
    let mut line = vec![];
    while output.read_until(b'\n', &mut line)? > 0 {
        let at = Instant::now();
        let text = String::from_utf8_lossy(&std::mem::take(&mut line))
            .trim_end()
            .to_owned();
        // The shell may say that its curl was stopped.
        if text == "Terminated" {
            continue;
        }
        answers.extend(unmarked.take());
        match parse(at, &text) {
            Some(answer) => answers.push(answer),
            None => {
                unmarked = Some(Answer {
                    at,
                    took: Duration::ZERO,
                    version: String::new(),
                    tries: None,
                    outcome: text,
                });
            }
        }
    }
    Ok(answers)
}

fn parse(at: Instant, line: &str) -> Option<Answer> {
    let (about, outcome) = line.strip_suffix(';')?.split_once('|')?;
    let mut about = about.split(' ');
    Some(Answer {
        at,
        took: Duration::from_secs_f64(about.next()?.parse().ok()?),
        version: about.next()?.to_owned(),
        tries: about.next()?.parse().ok(),
        outcome: outcome.trim().to_owned(),
    })
}

impl Answers {
    /// Fails unless each of at least `least` requests was answered with 200.
    pub(crate) fn all_well(&self, least: usize) -> Result<()> {
        let well = self.0.iter().filter(|answer| answer.outcome == "200").count();
        ensure!(well >= least, "only {well} answers, of {least}: {self}");
        ensure!(well == self.0.len(), "there were failures: {self}");
        Ok(())
    }
}

/// For each outcome, how often.
impl std::fmt::Display for Answers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut counts = BTreeMap::new();
        for answer in &self.0 {
            *counts.entry(&answer.outcome).or_insert(0) += 1;
        }
        let counts: Vec<_> = counts
            .iter()
            .map(|(outcome, count)| format!("{count} x {outcome}"))
            .collect();
        formatter.write_str(&counts.join(", "))
    }
}
