//! Kubernetes Events about pods whose owner wanted a sidecar and got none. A review only puts a word into a bounded queue;
//! a task of its own writes. Before it: `webhook`, which decided. After it: `regarding`, `series`, then the API server.

mod metrics;
mod regarding;
mod series;

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use metrics::Metrics;
use regarding::Regarding;
use series::{Series, What, Write};

/// How many words wait for the writer. Those that do not fit are dropped and counted: a review never waits for an Event.
const QUEUE: usize = 256;
/// How often the count of a series that goes on is written.
const TICK: Duration = Duration::from_secs(10);
/// How long one write may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the webhook says it. Clones share the queue; the default one leads nowhere, for where there is no API server.
#[derive(Clone, Debug, Default)]
pub struct Events {
    queue: Option<mpsc::Sender<(Regarding, String)>>,
    metrics: Metrics,
}

/// The task that writes.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<(Regarding, String)>,
    metrics: Metrics,
    series: Series,
}

impl Events {
    /// A queue and who empties it. `instance` is the name of this replica's pod.
    pub fn new(instance: &str, registry: &mut Registry) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let metrics = Metrics::default();
        metrics.register(registry);
        let events = Self {
            queue: Some(sender),
            metrics: metrics.clone(),
        };
        let writer = Writer {
            queue: receiver,
            metrics,
            series: Series::new(instance),
        };
        (events, writer)
    }

    /// Says that this pod, which is being created in `namespace`, gets no sidecar, and why. Never waits.
    ///
    /// A pod that has neither an owner nor a name is passed over: there is no object to which an Event could be attached,
    /// and whoever creates it has read the warning in the answer.
    pub(super) fn not_injected(&self, namespace: &str, pod: &Value, why: &str) {
        let Some(queue) = &self.queue else { return };
        let Some(regarding) = Regarding::of(namespace, pod) else {
            return;
        };
        if queue.try_send((regarding, why.to_owned())).is_err() {
            self.metrics.dropped();
        }
    }
}

impl Writer {
    /// Writes until `shutdown`. An Event that cannot be written is counted and logged; the next of its kind tries again.
    ///
    /// # Errors
    /// None.
    pub async fn run(mut self, client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                Some((regarding, note)) = self.queue.recv() => match self.series.observe(regarding, &note, Instant::now()) {
                    Ok(write) => write.into_iter().collect(),
                    Err(series::Full) => {
                        self.metrics.dropped();
                        continue;
                    }
                },
                _ = tick.tick() => self.series.due(Instant::now()),
            };
            for write in due {
                let written = tokio::time::timeout(PATIENCE, send(&client, &write)).await;
                let problem = match written {
                    Ok(Ok(())) => {
                        self.metrics.written();
                        None
                    }
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("no answer in {PATIENCE:?}")),
                };
                if let Some(problem) = &problem {
                    self.metrics.failed();
                    let namespace = write.namespace();
                    tracing::warn!(namespace, name = write.name, "cannot write an Event: {problem}");
                }
                self.series.wrote(write, problem.is_none());
            }
        }
    }
}

async fn send(client: &Client, write: &Write) -> kube::Result<()> {
    let api: Api<Event> = Api::namespaced(client.clone(), write.namespace());
    match &write.what {
        What::Create(event) => api.create(&PostParams::default(), event).await.map(drop),
        What::Count(series) => {
            let change = Patch::Merge(serde_json::json!({"series": series}));
            api.patch(&write.name, &PatchParams::default(), &change)
                .await
                .map(drop)
        }
    }
}

#[cfg(test)]
mod tests;
