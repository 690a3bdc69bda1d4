//! What is wrong with a rule, told where its author looks: a condition in the object's status, and a Kubernetes Event when it
//! changes. A rule of which nothing is wrong gets no condition, unless it had one. Before it: `feed`, which found the
//! problems. After it: the API server.
//!
//! Every replica would write the same: whoever finds the object as it should be writes nothing, and only the one that wrote
//! publishes the Event.

mod condition;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::compile::Problem;
use super::served::served;
use super::world::Key;
use crate::api::IstioKind;
pub(crate) use condition::Said;
use condition::said;

/// Changes come in groups: what they amount to is written once.
const SETTLE: Duration = Duration::from_millis(500);
/// How soon what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// How long one object may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One very object: another of its name that comes after it is not it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    kind: &'static str,
    key: Key,
    uid: String,
}

struct Statuses {
    client: Client,
    recorder: Recorder,
    /// The field manager.
    manager: String,
    /// What each object says, as far as it says anything of ours.
    written: BTreeMap<Id, Said>,
}

/// Writes until `shutdown`; `instance` is the name of this replica's pod. What cannot be written is logged and tried again.
///
/// # Errors
/// None today; the signature is that of every long-running part.
pub async fn run(
    client: Client,
    instance: &str,
    manager: String,
    problems: watch::Receiver<Arc<BTreeSet<Problem>>>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let reporter = Reporter {
        controller: "outrigger.dev/control-plane".into(),
        instance: (!instance.is_empty()).then(|| instance.into()),
    };
    let statuses = Statuses {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        manager,
        written: BTreeMap::new(),
    };
    let ended = shutdown.run_until_cancelled(statuses.keep(problems)).await;
    ended.unwrap_or(Ok(()))
}

impl Statuses {
    async fn keep(mut self, mut problems: watch::Receiver<Arc<BTreeSet<Problem>>>) -> anyhow::Result<()> {
        // Nothing is known to be right before everything is known.
        problems.changed().await.context("nobody looks for problems")?;
        while let Err(error) = self.list().await {
            tracing::warn!(%error, "cannot read the statuses of rules");
            tokio::time::sleep(RETRY).await;
        }
        loop {
            tokio::time::sleep(SETTLE).await;
            let wanted = said(&problems.borrow_and_update());
            let complete = self.write(wanted).await;
            tokio::select! {
                changed = problems.changed() => changed.context("nobody looks for problems")?,
                () = tokio::time::sleep(RETRY), if !complete => {}
            }
        }
    }

    /// What objects say from an earlier time.
    async fn list(&mut self) -> anyhow::Result<()> {
        for (kind, resource) in served(&self.client).await? {
            let kind = kind.name();
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            let found = api.list(&ListParams::default()).await.context(kind)?;
            for object in found {
                if let Some(said) = Said::of(&object.data) {
                    let key = Key::of(&object.metadata);
                    let uid = object.metadata.uid.unwrap_or_default();
                    self.written.insert(Id { kind, key, uid }, said);
                }
            }
        }
        Ok(())
    }

    /// Whether all is written.
    async fn write(&mut self, mut wanted: BTreeMap<Id, Said>) -> bool {
        for (id, was) in &self.written {
            if *was != Said::accepted() {
                wanted.entry(id.clone()).or_insert_with(Said::accepted);
            }
        }
        wanted.retain(|id, said| self.written.get(id) != Some(said));
        if wanted.is_empty() {
            return true;
        }
        let asked = tokio::time::timeout(PATIENCE, served(&self.client)).await;
        let served = match asked.context("no answer in time").and_then(|asked| Ok(asked?)) {
            Ok(served) => served,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "cannot ask for the versions of rules"
                );
                return false;
            }
        };
        let mut complete = true;
        for (id, said) in wanted {
            let resource = IstioKind::named(id.kind).and_then(|kind| served.get(&kind));
            let writing = tokio::time::timeout(PATIENCE, self.write_one(resource, &id, &said));
            match writing.await.context("no answer in time").flatten() {
                Ok(true) => {
                    self.written.insert(id, said);
                }
                Ok(false) => {
                    self.written.remove(&id);
                }
                Err(error) => {
                    complete = false;
                    let Id { kind, key, .. } = id;
                    tracing::warn!(kind, %key, error = format!("{error:#}"), "cannot write the status");
                }
            }
        }
        complete
    }

    /// Whether the object is still there; `resource` is its kind as it is served, if it is.
    async fn write_one(
        &self,
        resource: Option<&ApiResource>,
        Id { key, uid, .. }: &Id,
        said: &Said,
    ) -> anyhow::Result<bool> {
        let Some(resource) = resource else {
            return Ok(false);
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, resource);
        // One that is gone needs none, and another of its name one of its own.
        let found = api.get_opt(&key.name).await?;
        let Some(mut object) = found.filter(|object| object.uid().as_ref() == Some(uid)) else {
            return Ok(false);
        };
        let Some(conditions) = condition::with(&object.data, said, Timestamp::now()) else {
            return Ok(true);
        };
        // Of this version of the object, or not at all: another replica may just have written it.
        let patch = json!({
            "metadata": {"resourceVersion": object.resource_version()},
            "status": {"conditions": conditions},
        });
        let parameters = PatchParams {
            field_manager: Some(self.manager.clone()),
            ..PatchParams::default()
        };
        match api
            .patch_status(&key.name, &parameters, &Patch::Merge(patch))
            .await
        {
            // Another replica was first; what it wrote is looked at next time.
            Err(kube::Error::Api(status)) if status.code == 409 => anyhow::bail!("somebody else wrote it"),
            written => written?,
        };
        object.types = Some(kube::api::TypeMeta {
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
        });
        let event = Event {
            type_: if said.is_well() {
                EventType::Normal
            } else {
                EventType::Warning
            },
            reason: said.reason.to_owned(),
            note: Some(said.note()),
            action: "Read".to_owned(),
            secondary: None,
        };
        self.recorder
            .publish(&event, &object.object_ref(resource))
            .await
            .context("the Event")?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
