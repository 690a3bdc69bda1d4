//! Steady traffic from pods, so that a story can say what its clients noticed: every answer and every failure is counted.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};

use crate::kubectl::Namespace;

/// Clients at work, in the namespace of their pods.
pub(crate) struct Traffic<'a> {
    namespace: &'a Namespace,
    clients: Vec<(Child, JoinHandle<std::io::Result<String>>)>,
}

/// What the clients were answered: for each status (000 is none at all) with curl's reason, how often.
pub(crate) struct Answers(BTreeMap<String, usize>);

const CLIENTS: [&str; 2] = ["curl-deploy", "curl-deploy1"];
/// A line for each request, the status and why there is none, at once and not when some kilobytes of them are there. Its end
/// is marked: a curl that is stopped in the middle of a line leaves one without.
const LINE: &str = "-w '%{stderr}%{http_code} %{errormsg};\\n' 2>&1";

impl<'a> Traffic<'a> {
    /// Starts four clients in the walk-through's two client pods: in each, one that keeps its connection and one that
    /// makes a new one for each request, all at up to 20 requests a second.
    pub(crate) fn start(namespace: &'a Namespace) -> Result<Self> {
        let url = format!("http://helloworld.{}.svc.cluster.local:5000/hello", namespace.0);
        let curl = format!("curl -s -m 10 -o /dev/null {LINE}");
        let kept = format!("{curl} --rate 20/s '{url}?[1-1000000]'");
        let new = format!("while [ ! -e /tmp/stop ]; do {curl} {url}; sleep 0.05; done");
        let mut traffic = Self {
            namespace,
            clients: vec![],
        };
        for client in CLIENTS {
            namespace.shell(&format!("deploy/{client}"), "busybox rm -f /tmp/stop")?;
            for script in [&kept, &new] {
                let mut child = Command::new("kubectl")
                    .args([
                        "-n",
                        namespace.0,
                        "exec",
                        &format!("deploy/{client}"),
                        "-c",
                        "curl",
                    ])
                    .args(["--", "sh", "-c", script])
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .context("kubectl exec")?;
                let mut output = child.stdout.take().expect("stdout is piped");
                let reader = std::thread::spawn(move || {
                    let mut text = Vec::new();
                    std::io::Read::read_to_end(&mut output, &mut text)?;
                    Ok(String::from_utf8_lossy(&text).into_owned())
                });
                traffic.clients.push((child, reader));
            }
        }
        Ok(traffic)
    }

    /// Stops the clients and counts.
    pub(crate) fn stop(self) -> Result<Answers> {
        for client in CLIENTS {
            let stop = ": > /tmp/stop; busybox killall curl";
            self.namespace.shell(&format!("deploy/{client}"), stop)?;
        }
        let mut answers = BTreeMap::new();
        for (mut child, reader) in self.clients {
            child.wait()?;
            let text = reader.join().expect("the reader does not panic")?;
            ensure!(!text.is_empty(), "a client has not sent anything");
            // The shell may say that its curl was stopped.
            let lines: Vec<_> = text.lines().filter(|line| *line != "Terminated").collect();
            for (index, line) in lines.iter().enumerate() {
                let answer = match line.strip_suffix(';') {
                    Some(answer) => answer,
                    None if index + 1 == lines.len() => continue,
                    None => line,
                };
                *answers.entry(answer.trim().to_owned()).or_insert(0) += 1;
            }
        }
        Ok(Answers(answers))
    }
}

impl Answers {
    /// Fails unless each of at least `least` requests was answered with 200.
    pub(crate) fn all_well(&self, least: usize) -> Result<()> {
        let well = self.0.get("200").copied().unwrap_or_default();
        ensure!(well >= least, "only {well} answers, of {least}: {self}");
        ensure!(self.0.len() == 1, "there were failures: {self}");
        Ok(())
    }
}

impl std::fmt::Display for Answers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts: Vec<_> = self
            .0
            .iter()
            .map(|(answer, count)| format!("{count} x {answer}"))
            .collect();
        formatter.write_str(&counts.join(", "))
    }
}
