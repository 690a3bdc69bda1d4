//! ConfigMap `outrigger-ca-root` in every namespace whose pods may be injected: how the proxies learn whom to trust.
//! The bundle comes from `secret`, which hears from here when everybody has it.

mod found;

use std::collections::BTreeSet;
use std::pin::pin;

use anyhow::Context;
use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use super::{Knowledge, RETRY, Settings};
use crate::control::world::World;
use found::{Found, Wanted, is_owned};

/// The ConfigMap's name.
const NAME: &str = "outrigger-ca-root";
/// Its one key.
const KEY: &str = "ca.pem";
/// How many are written at a time.
const AT_ONCE: usize = 8;

/// Tells the other loop the names of the namespaces, so that it sleeps through the world's other changes.
pub(super) async fn follow(
    mut world: watch::Receiver<World>,
    settings: &Settings,
    knowledge: &Knowledge,
) -> anyhow::Result<()> {
    loop {
        let ignored = &settings.ignored_namespaces;
        let names = world
            .borrow_and_update()
            .namespace_names()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>();
        let names = names.difference(ignored).cloned().collect();
        knowledge.namespaces.send_if_modified(|before| {
            *before != names && {
                *before = names;
                true
            }
        });
        world
            .changed()
            .await
            .context("nobody watches the cluster any more")?;
    }
}

/// Watches the ConfigMaps of that name in all namespaces, and writes those that are not as they should be: at once where the
/// signer is missing, at the next look where it is there, as `ca_bundle` does and for its reason.
pub(super) async fn keep(client: &Client, settings: &Settings, knowledge: &Knowledge) -> anyhow::Result<()> {
    let fields = format!("metadata.name={NAME}");
    let all: Api<ConfigMap> = Api::all(client.clone());
    let mut events = pin!(watcher(all, watcher::Config::default().fields(&fields)).default_backoff());
    let mut keyring = knowledge.keyring.subscribe();
    let mut namespaces = knowledge.namespaces.subscribe();
    let mut tick = tokio::time::interval(settings.check_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut found = Found::default();
    let mut owner: Option<OwnerReference> = None;
    loop {
        let looks = tokio::select! {
            event = events.next() => match event.context("the watch of the trust anchors ended")? {
                Ok(event) => {
                    // Of a ClusterRole that was replaced, the garbage collector takes out what it owned: the ConfigMap, or
                    // the reference alone where another revision owns it as well.
                    let known = |owner: &OwnerReference| match &event {
                        Event::Delete(_) => false,
                        Event::Apply(found) => is_owned(found, owner),
                        Event::Init | Event::InitApply(_) | Event::InitDone => true,
                    };
                    owner = owner.filter(known);
                    found.apply(event);
                    false
                }
                Err(error) => {
                    warn!(name = NAME, %error, "cannot watch the ConfigMaps with the trust anchors");
                    continue;
                }
            },
            changed = keyring.changed() => changed.map(|()| true)?,
            changed = namespaces.changed() => changed.map(|()| true)?,
            _ = tick.tick() => {
                found.failed.clear();
                true
            }
        };
        let Some(keyring) = keyring.borrow_and_update().clone() else {
            continue;
        };
        let namespaces = namespaces.borrow_and_update().clone();
        if !found.complete || namespaces.is_empty() {
            continue;
        }
        if owner.is_none() {
            owner = owner_of(client, &settings.names.installation).await;
        }
        let Some(owner) = owner.clone() else {
            tick.reset_after(RETRY);
            continue;
        };
        let wanted = Wanted {
            bundle: keyring.bundle().into(),
            signer: keyring.signer().certificate_pem().to_owned(),
            owner,
        };
        let mut due = found.due(&namespaces, &wanted);
        due.retain(|namespace| looks || found.is_urgent(namespace, &wanted));
        due.retain(|namespace| !found.failed.contains(namespace));
        if write(client, &settings.names.installation, &mut found, due, &wanted).await {
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

/// Writes the ConfigMaps of the namespaces in `due`, and says whether one of them could not be written.
async fn write(
    client: &Client,
    field_manager: &str,
    found: &mut Found,
    due: Vec<String>,
    wanted: &Wanted,
) -> bool {
    let write = |namespace: String| async move {
        let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
        let parameters = PatchParams::apply(field_manager).force();
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
                found.apply(Event::Apply(written));
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

async fn owner_of(client: &Client, name: &str) -> Option<OwnerReference> {
    match Api::<ClusterRole>::all(client.clone()).get_metadata(name).await {
        Ok(role) => Some(OwnerReference {
            api_version: "rbac.authorization.k8s.io/v1".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: name.to_owned(),
            uid: role.metadata.uid?,
            ..OwnerReference::default()
        }),
        Err(error) => {
            warn!(name, %error, "cannot read the ClusterRole that owns the trust anchors, so none are written");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_namespace_is_no_failure() {
        let status = |json| kube::Error::Api(Box::new(serde_json::from_value(json).unwrap()));
        let terminating = serde_json::json!({"code": 403, "reason": "Forbidden",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "", "field": "metadata.namespace"}]}});
        assert!(is_of_ending_namespace(&status(terminating)));
        assert!(is_of_ending_namespace(&status(
            serde_json::json!({"code": 404, "reason": "NotFound"})
        )));
        assert!(!is_of_ending_namespace(&status(
            serde_json::json!({"code": 403, "reason": "Forbidden"})
        )));
    }
}
