//! What the processes say to each other: one JSON value a line. `measure` asks, `controller` and `proxies` answer.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Nanoseconds since 1970, which all processes of a machine agree on.
pub(crate) type Moment = u64;

pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What the control plane is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToController {
    /// The cluster is listed, every kind of it.
    Load,
    /// An endpoint of this service becomes ready or unready.
    Endpoint(usize),
    /// The VirtualService of this service changes.
    Rule(usize),
    /// Endpoints of services all over the cluster do, one after another.
    Churn { per_second: u64, seconds: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromController {
    /// Where discovery is, and the certificate to trust.
    Listening { address: String, ca: String },
    /// When what was asked for was begun and when the world had it.
    Done { begun: Moment, ended: Moment },
}

/// What the proxies are told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToProxies {
    Connect {
        address: String,
        ca: String,
    },
    /// This many responses with this resource, or with one of this host, are the next.
    Await {
        name: String,
        count: usize,
    },
    Totals,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromProxies {
    /// Everybody has everything since then.
    Complete(Moment),
    /// What is awaited is known now, and whatever comes is it.
    Armed,
    /// When the last of what was awaited came.
    Seen(Moment),
    /// Responses and bytes of each proxy since it connected.
    Totals { responses: Vec<u64>, bytes: Vec<u64> },
}

/// What this process is told on its standard input.
pub(crate) struct Told {
    lines: mpsc::UnboundedReceiver<String>,
}

impl Told {
    pub(crate) fn new() -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut read = std::io::stdin().lines();
            while let Some(Ok(line)) = read.next() {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// `None` when there is nothing more to do.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        let Some(line) = self.lines.recv().await else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_str(&line).context(line)?))
    }
}

/// Answers on standard output.
pub(crate) fn say<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let line = serde_json::to_string(value)? + "\n";
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes())?;
    Ok(output.flush()?)
}
