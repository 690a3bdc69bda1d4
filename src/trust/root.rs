//! ConfigMap `outrigger-ca-root` in every namespace whose pods may be injected: how the proxies learn whom to trust.
//! The bundle comes from `secret`, which hears from here when everybody has it.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context;
use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use super::{Knowledge, OUTRIGGER, RETRY, Settings};
use crate::control::world::World;

/// The ConfigMap's name.
const NAME: &str = "outrigger-ca-root";
/// Its one key.
const KEY: &str = "ca.pem";
/// How many are written at a time.
const AT_ONCE: usize = 8;

/// What every ConfigMap should be.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    bundle: Arc<str>,
    /// The uid of the ClusterRole that owns the ConfigMaps, so that they go when the chart goes.
    owner: String,
}

impl Wanted {
    fn is(&self, found: &ConfigMap) -> bool {
        let bundle = found.data.as_ref().and_then(|data| data.get(KEY));
        bundle.is_some_and(|bundle| **bundle == *self.bundle)
            && found
                .owner_references()
                .iter()
                .any(|owner| owner.uid == self.owner)
    }

    fn config_map(&self, namespace: &str) -> ConfigMap {
        let owner = OwnerReference {
            api_version: "rbac.authorization.k8s.io/v1".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: OUTRIGGER.to_owned(),
            uid: self.owner.clone(),
            ..OwnerReference::default()
        };
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some([("app.kubernetes.io/managed-by".to_owned(), OUTRIGGER.to_owned())].into()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            data: Some([(KEY.to_owned(), self.bundle.to_string())].into()),
            ..ConfigMap::default()
        }
    }
}

/// The ConfigMaps as they are, by namespace.
#[derive(Debug, Default)]
struct Found {
    known: HashMap<String, ConfigMap>,
    /// What the list that is being read has brought so far.
    listing: HashMap<String, ConfigMap>,
    /// Whether a list has been read to its end.
    complete: bool,
    /// Where the last write failed; they wait for the next tick.
    failed: BTreeSet<String>,
}

impl Found {
    fn apply(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(found) => drop(
                self.listing
                    .insert(found.namespace().unwrap_or_default(), slim(found)),
            ),
            Event::InitDone => {
                self.known = std::mem::take(&mut self.listing);
                self.complete = true;
            }
            Event::Apply(found) => drop(
                self.known
                    .insert(found.namespace().unwrap_or_default(), slim(found)),
            ),
            Event::Delete(found) => drop(self.known.remove(&found.namespace().unwrap_or_default())),
        }
    }

    /// The namespaces whose ConfigMap is not there or is not as wanted.
    fn due(&self, namespaces: &BTreeSet<String>, wanted: &Wanted) -> Vec<String> {
        let missing = |namespace: &&String| !self.known.get(*namespace).is_some_and(|found| wanted.is(found));
        namespaces.iter().filter(missing).cloned().collect()
    }
}

/// Only what is compared: managedFields would be the larger part of it.
fn slim(mut found: ConfigMap) -> ConfigMap {
    found.metadata.managed_fields = None;
    found
}

/// Watches the ConfigMaps of that name in all namespaces, and writes those that are not as they should be.
pub(super) async fn keep(
    client: &Client,
    settings: &Settings,
    knowledge: &Knowledge,
    mut world: watch::Receiver<World>,
) -> anyhow::Result<()> {
    let fields = format!("metadata.name={NAME}");
    let all: Api<ConfigMap> = Api::all(client.clone());
    let mut events = pin!(watcher(all, watcher::Config::default().fields(&fields)).default_backoff());
    let mut keyring = knowledge.keyring.subscribe();
    let mut tick = tokio::time::interval(settings.check_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut found = Found::default();
    let mut owner = None;
    // Whether the owner was asked for since the last tick, as there may be very many changes of the world in between.
    let mut asked = false;
    loop {
        tokio::select! {
            event = events.next() => match event.context("the watch of the trust anchors ended")? {
                Ok(event) => {
                    // The garbage collector deletes what belongs to a ClusterRole that was replaced.
                    if matches!(event, Event::Delete(_)) {
                        owner = None;
                        asked = false;
                    }
                    found.apply(event);
                }
                Err(error) => {
                    warn!(name = NAME, %error, "cannot watch the ConfigMaps with the trust anchors");
                    continue;
                }
            },
            changed = keyring.changed() => changed?,
            changed = world.changed() => changed.context("nobody watches the cluster any more")?,
            _ = tick.tick() => {
                found.failed.clear();
                asked = false;
            }
        }
        let Some(bundle) = keyring
            .borrow_and_update()
            .as_ref()
            .map(|keyring| keyring.bundle().into())
        else {
            continue;
        };
        let namespaces = namespaces(&world.borrow_and_update(), &settings.ignored_namespaces);
        if !found.complete || namespaces.is_empty() {
            continue;
        }
        if owner.is_none() && !std::mem::replace(&mut asked, true) {
            owner = owner_uid(client).await;
        }
        let Some(owner) = owner.clone() else { continue };
        let wanted = Wanted { bundle, owner };
        if write_due(client, &mut found, &namespaces, &wanted).await {
            tick.reset_after(RETRY);
        }
        let distributed = found
            .due(&namespaces, &wanted)
            .is_empty()
            .then_some(wanted.bundle);
        knowledge.distributed.send_if_modified(|before| {
            *before != distributed && {
                *before = distributed;
                true
            }
        });
    }
}

/// Writes every ConfigMap that is due, and says whether one of them could not be written.
async fn write_due(
    client: &Client,
    found: &mut Found,
    namespaces: &BTreeSet<String>,
    wanted: &Wanted,
) -> bool {
    let mut due = found.due(namespaces, wanted);
    due.retain(|namespace| !found.failed.contains(namespace));
    let write = |namespace: String| async move {
        let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
        let parameters = PatchParams::apply(OUTRIGGER).force();
        let written = api
            .patch(NAME, &parameters, &Patch::Apply(wanted.config_map(&namespace)))
            .await;
        (namespace, written)
    };
    let mut writes = stream::iter(due).map(write).buffer_unordered(AT_ONCE);
    let mut failed = false;
    while let Some((namespace, written)) = writes.next().await {
        match written {
            Ok(written) => {
                info!(namespace, name = NAME, "wrote the trust anchors");
                found.known.insert(namespace, slim(written));
            }
            Err(error) => {
                if is_of_ending_namespace(&error) {
                    debug!(namespace, name = NAME, %error, "the namespace ends before it got its trust anchors");
                } else {
                    warn!(namespace, name = NAME, %error, "cannot write the trust anchors");
                }
                failed = true;
                found.failed.insert(namespace);
            }
        }
    }
    failed
}

fn namespaces(world: &World, ignored: &BTreeSet<String>) -> BTreeSet<String> {
    world
        .namespace_names()
        .filter(|name| !ignored.contains(*name))
        .map(str::to_owned)
        .collect()
}

async fn owner_uid(client: &Client) -> Option<String> {
    match Api::<ClusterRole>::all(client.clone())
        .get_metadata(OUTRIGGER)
        .await
    {
        Ok(role) => role.metadata.uid,
        Err(error) => {
            warn!(name = OUTRIGGER, %error, "cannot read the ClusterRole that owns the trust anchors, so none are written");
            None
        }
    }
}

/// Whether the API server refused because the namespace is being deleted or is gone.
fn is_of_ending_namespace(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_not_found()
        || causes
            .into_iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
}
