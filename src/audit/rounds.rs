//! The audit in the control plane: every minute over all pods, for metrics and the log. Before it: `control::world`, which
//! knows the namespaces. After it: `audit`, for each pod.
//!
//! The watches of the control plane hold the metadata of pods alone, and an audit needs their containers. So each round
//! lists them: by pages, of which one is in memory at a time, and only pods that have not ended. The rest between two
//! rounds is at least [`RATIO`] times as long as the round took, so that it never has more than a small share of a processor
//! or of the API server, however large the cluster is. The list is not read at resourceVersion 0, with which the API server
//! answers in one piece whatever the limit says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Code, Finding, NOT_ENDED, audit};
use crate::control::world::World;
use crate::inject::Owner;
use crate::pages::Pages;
use crate::settings::Settings;

/// The shortest time from the end of one round to the begin of the next.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many times longer than a round the rest after it is at least.
const RATIO: u32 = 20;
/// The most pods that one round names in the log. After an upgrade every pod is outdated.
const NAMED: usize = 20;

/// How many pods were found in the last round, by finding. Every replica has its own count of the same pods.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pods: Family<Label, Gauge>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Label {
    finding: &'static str,
}

impl Metrics {
    /// Puts the gauge into the registry that `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "outrigger_audit_pods",
            "Running pods that lack a sidecar, have an old one, one of other settings, or one that the rules deny; each \
             replica counts the same pods",
            self.pods.clone(),
        );
    }

    fn set(&self, counts: &BTreeMap<Code, i64>) {
        for code in Code::ALL {
            let label = Label {
                finding: code.as_str(),
            };
            self.pods
                .get_or_create(&label)
                .set(counts.get(&code).copied().unwrap_or(0));
        }
    }
}

/// A pod of which something was found.
struct Found {
    uid: String,
    namespace: String,
    name: String,
    owner: Owner,
    finding: Finding,
}

/// Audits until `shutdown`. A round that fails is logged and leaves the metrics as they were.
///
/// # Errors
/// None.
pub async fn run(
    client: Client,
    mut world: watch::Receiver<World>,
    settings: Arc<Settings>,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let rounds = async {
        let mut known = HashSet::new();
        loop {
            // Before the namespaces are known, every pod would be one that nobody wants.
            if world.wait_for(World::synced).await.is_err() {
                return;
            }
            let start = Instant::now();
            match round(&client, &world, &settings).await {
                Ok(found) => {
                    metrics.set(&count(&found));
                    log(&found, &known);
                    known = found
                        .into_iter()
                        .map(|found| (found.uid, found.finding.code))
                        .collect();
                }
                Err(error) => tracing::warn!(%error, "cannot list the pods to audit them"),
            }
            tokio::time::sleep(INTERVAL.max(start.elapsed() * RATIO)).await;
        }
    };
    shutdown.run_until_cancelled(rounds).await;
    Ok(())
}

async fn round(
    client: &Client,
    world: &watch::Receiver<World>,
    settings: &Arc<Settings>,
) -> anyhow::Result<Vec<Found>> {
    let mut pages = Pages::new(client.clone(), "/api/v1/pods", NOT_ENDED);
    let mut found = vec![];
    while let Some(page) = pages.next().await? {
        let (world, settings) = (world.clone(), settings.clone());
        // Some milliseconds of work, which reviews do not have to wait for.
        found.extend(tokio::task::spawn_blocking(move || look(&page, &world, &settings)).await?);
    }
    Ok(found)
}

fn look(pods: &[Value], world: &watch::Receiver<World>, settings: &Settings) -> Vec<Found> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut namespaces = HashMap::new();
    let looked = pods.iter().filter_map(|pod| {
        let metadata = &pod["metadata"];
        let name = text(&metadata["namespace"]);
        // Taken out once, so that no borrow of the world outlives a pod's audit and keeps its writer waiting.
        let namespace = namespaces
            .entry(name.clone())
            .or_insert_with(|| world.borrow().namespace(&name).cloned())
            .as_ref()?;
        Some(Found {
            finding: audit(pod, &namespace.into(), settings)?,
            uid: text(&metadata["uid"]),
            namespace: name,
            name: text(&metadata["name"]),
            owner: Owner::of(pod),
        })
    });
    looked.collect()
}

fn count(found: &[Found]) -> BTreeMap<Code, i64> {
    let mut counts = BTreeMap::new();
    for found in found {
        *counts.entry(found.finding.code).or_default() += 1;
    }
    counts
}

fn log(found: &[Found], known: &HashSet<(String, Code)>) {
    let new: Vec<_> = found
        .iter()
        .filter(|found| !known.contains(&(found.uid.clone(), found.finding.code)))
        .collect();
    for found in new.iter().take(NAMED) {
        tracing::warn!(
            namespace = found.namespace,
            name = found.name,
            owner = %found.owner,
            finding = found.finding.code.as_str(),
            "{}",
            found.finding.why
        );
    }
    if let Some(more) = new.len().checked_sub(NAMED).filter(|more| *more > 0) {
        tracing::warn!("found {more} more pods; `outrigger check` lists them all");
    }
}

#[cfg(test)]
mod tests;
