//! The annotation `outrigger.dev/status`: what was added to a pod, enough to take it out again exactly.
//! Before it: `sidecar`. Read by `decide`, to know a pod that was injected.

use serde::{Deserialize, Serialize};

use super::pod::{Pod, name};
use super::sidecar::{PROXY, Sidecar};
use crate::settings::Settings;

/// The annotation's key.
pub(super) const ANNOTATION: &str = "outrigger.dev/status";

/// What was added, by name; the annotation itself is not listed, it always goes.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    version: String,
    revision: String,
    init_containers: Vec<String>,
    volumes: Vec<String>,
    labels: Vec<String>,
    annotations: Vec<String>,
    /// Parents that were not there: JSON pointers, to be removed last and in this order, unless somebody else has put
    /// something into them since.
    created: Vec<String>,
}

impl Status {
    /// The status of a pod that has the proxy which its status speaks of. A status without the proxy was copied from
    /// elsewhere and means nothing; a proxy without a status is somebody else's container.
    pub(super) fn read(pod: &Pod) -> Option<Self> {
        let status: Self = serde_json::from_str(pod.annotation(ANNOTATION)?).ok()?;
        let listed = status.init_containers.iter().any(|name| name == PROXY);
        let present = pod
            .init_containers?
            .iter()
            .any(|container| name(container) == PROXY);
        (listed && present).then_some(status)
    }
}

/// The annotation's value for what is about to be added.
pub(super) fn record(pod: &Pod, added: &Sidecar, settings: &Settings) -> String {
    let names = |list: &[serde_json::Value]| list.iter().map(|item| name(item).to_string()).collect();
    let keys = |pairs: &[(&str, String)]| pairs.iter().map(|(key, _)| key.to_string()).collect();
    let parents = [
        (
            pod.labels.is_none() && !added.labels.is_empty(),
            "/metadata/labels",
        ),
        (pod.annotations.is_none(), "/metadata/annotations"),
        (pod.metadata.is_none(), "/metadata"),
        (pod.init_containers.is_none(), "/spec/initContainers"),
        (pod.volumes.is_none(), "/spec/volumes"),
    ];
    let status = Status {
        version: env!("CARGO_PKG_VERSION").into(),
        revision: settings.injection.revision.clone(),
        init_containers: names(&added.init_containers),
        volumes: names(&added.volumes),
        labels: keys(&added.labels),
        annotations: keys(&added.annotations),
        created: parents
            .iter()
            .filter(|(created, _)| *created)
            .map(|(_, path)| path.to_string())
            .collect(),
    };
    serde_json::json!(status).to_string()
}
