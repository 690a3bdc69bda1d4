//! The annotation `outrigger.dev/status`: what was done to a pod, enough to undo it exactly.
//! Before it: `sidecar`. Read by `decide`, to know a pod that was injected, and by `undo`.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pod::{Pod, name};
use super::sidecar::{PROXY, Replacement, Sidecar};
use crate::settings::Settings;

/// The annotation's key.
pub(super) const ANNOTATION: &str = "outrigger.dev/status";

/// Its place.
pub(super) const AT: &str = "metadata.annotations[outrigger.dev/status]";

/// What was done; the annotation itself is not listed, it always goes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    /// Who did it.
    pub(super) version: String,
    pub(super) revision: String,
    /// Of all that was added, so that today's settings can be compared with those of then.
    pub(super) fingerprint: String,
    /// What was added, by name or key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) init_containers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) containers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) volumes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) labels: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) annotations: Vec<String>,
    /// Parents that were not there: JSON pointers, to be removed last and in this order, unless somebody else has put
    /// something into them since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) created: Vec<String>,
    /// Values that others took the place of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) replaced: Vec<Replaced>,
    /// Containers of the author that were merged into ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) taken: Vec<Taken>,
    /// What others keep here, as `manifest` does.
    #[serde(flatten)]
    pub(super) other: serde_json::Map<String, Value>,
}

/// A value that another took the place of.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Replaced {
    /// Where, as in `sidecar::Replacement`.
    pub(super) at: String,
    pub(super) was: Value,
}

/// A container that was taken out.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Taken {
    pub(super) list: String,
    pub(super) index: usize,
    pub(super) was: Value,
}

impl Status {
    /// The status of a pod that has the proxy which its status speaks of. A status without the proxy was copied from
    /// elsewhere and means nothing; a proxy without a status is somebody else's container.
    pub(super) fn read(pod: &Pod) -> Option<Self> {
        let status: Self = serde_json::from_str(pod.annotation(ANNOTATION)?).ok()?;
        let has = |listed: &[String], containers: &[Value]| {
            listed.iter().any(|listed| listed == PROXY)
                && containers.iter().any(|container| name(container) == PROXY)
        };
        let present = has(&status.init_containers, pod.init_containers.unwrap_or_default())
            || has(&status.containers, pod.containers);
        present.then_some(status)
    }

    /// The status of a pod to which `sidecar` is about to be done.
    pub(super) fn of(pod: &Pod, sidecar: &Sidecar, settings: &Settings) -> Self {
        let added = |list: &str| {
            let additions = sidecar.containers.iter().filter(|it| it.list == list);
            additions.map(|it| name(&it.container).to_owned()).collect()
        };
        let keys = |pairs: &[(String, String)]| pairs.iter().map(|(key, _)| key.clone()).collect();
        let mut status = Self {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: settings.injection.revision.clone(),
            fingerprint: fingerprint(sidecar),
            init_containers: added("initContainers"),
            containers: added("containers"),
            volumes: sidecar
                .volumes
                .iter()
                .map(|volume| name(volume).to_owned())
                .collect(),
            labels: keys(&sidecar.labels),
            annotations: keys(&sidecar.annotations),
            ..Self::default()
        };
        status.parents(pod, sidecar);
        status.replace(sidecar);
        if let Some(text) = pod.annotation(ANNOTATION) {
            // Of another pod, since this one has no proxy.
            status.replaced.push(Replaced {
                at: AT.into(),
                was: text.into(),
            });
        }
        status.taken = sidecar
            .taken
            .iter()
            .map(|taken| Taken {
                list: taken.list.into(),
                index: taken.index,
                was: taken.container.clone(),
            })
            .collect();
        status
    }

    /// Adds what `sidecar` replaces.
    pub(super) fn replace(&mut self, sidecar: &Sidecar) {
        self.replaced.extend(sidecar.replaced.iter().map(|it| Replaced {
            at: it.at.clone(),
            was: it.was.clone(),
        }));
    }

    /// Parents that are made because they are absent, or that take the place of a null.
    fn parents(&mut self, pod: &Pod, sidecar: &Sidecar) {
        let adds = |list: &str| sidecar.containers.iter().any(|it| it.list == list);
        let metadata = pod.metadata;
        let is_null = |parent: Option<&serde_json::Map<String, Value>>, field: &str| {
            parent.is_some_and(|parent| parent.contains_key(field))
        };
        let parents = [
            (
                pod.labels.is_none() && !sidecar.labels.is_empty(),
                is_null(metadata, "labels"),
                "metadata.labels",
            ),
            (
                pod.annotations.is_none(),
                is_null(metadata, "annotations"),
                "metadata.annotations",
            ),
            (pod.metadata.is_none(), pod.metadata_is_null, "metadata"),
            (
                pod.init_containers.is_none() && adds("initContainers"),
                pod.spec.contains_key("initContainers"),
                "spec.initContainers",
            ),
            (
                pod.volumes.is_none(),
                pod.spec.contains_key("volumes"),
                "spec.volumes",
            ),
        ];
        for (absent, null, at) in parents {
            match (absent, null) {
                (true, true) => self.replaced.push(Replaced {
                    at: at.into(),
                    was: Value::Null,
                }),
                (true, false) => self.created.push(format!("/{}", at.replace('.', "/"))),
                (false, _) => {}
            }
        }
    }

    /// The annotation's value.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a status is JSON")
    }

    /// Has the annotation written.
    pub(super) fn write(&self, pod: &Pod, sidecar: &mut Sidecar) {
        match pod.annotation(ANNOTATION) {
            None => sidecar.annotations.push((ANNOTATION.into(), self.text())),
            Some(was) => sidecar.replaced.push(Replacement {
                at: AT.into(),
                was: was.into(),
                now: self.text().into(),
            }),
        }
    }
}

/// A hash of what is added and replaced: FNV-1a, which is the same on every machine and for ever. Labels and annotations are
/// left out: they follow from the pod's name, which a pod does not have yet when it is created.
fn fingerprint(sidecar: &Sidecar) -> String {
    let containers = sidecar.containers.iter().map(|it| &it.container);
    let replaced = sidecar.replaced.iter().map(|it| &it.now);
    let values = containers.chain(&sidecar.volumes).chain(replaced);
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for value in values {
        serde_json::to_writer(&mut hash, value).expect("a value is JSON, and the hash takes every byte");
    }
    format!("{:016x}", hash.0)
}

struct Fnv(u64);

impl Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
