//! What a pod becomes when it is created: `pod` (read) -> `decide` (inject or skip, and why) -> `sidecar` (what to add)
//! -> `status` (how to undo it) -> `patch` (the operations). Pure: the raw pod, its namespace's labels and the settings in.
//! Before it: `webhook` for pods that are created, [`manifest`] for files.

pub mod manifest;

mod canonical;
mod decide;
mod patch;
mod pod;
mod reason;
mod sidecar;
mod status;
mod warnings;

use std::collections::BTreeMap;

use json_patch::Patch;
use serde_json::Value;

pub use reason::Reason;

use crate::settings::Settings;
use decide::Subject;
use pod::Pod;

/// The answer for one pod.
#[derive(Debug)]
pub struct Injection {
    /// The rule that decided.
    pub reason: Reason,
    /// What turns the pod into one with a proxy (RFC 6902); empty if the pod is to stay as it is.
    pub patch: Patch,
    /// What the pod's owner should hear, such as a wish that was not granted.
    pub warnings: Vec<String>,
}

/// Why a pod can neither be injected nor be left alone; it is refused with this.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A field is not what the Kubernetes API says it is.
    #[error("{path} is {found}; it must be {expected}")]
    Malformed {
        /// Where, as a JSON path from the top of the object.
        path: String,
        /// What is there.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The pod's author uses a name that Outrigger needs.
    #[error(
        "{path} is named {name:?}, which is the name of a {kind} that Outrigger adds; \
         rename it, or set the pod's label sidecar.istio.io/inject to \"false\""
    )]
    NameTaken {
        /// Where, as a JSON path from the top of the object.
        path: String,
        /// `container` or `volume`.
        kind: &'static str,
        /// The name both want.
        name: String,
    },
}

/// Decides about a pod and says what changes it. `namespace` is where it will run, whatever its metadata says.
pub fn inject(
    pod: &Value,
    namespace: &str,
    namespace_labels: &BTreeMap<String, String>,
    settings: &Settings,
) -> Result<Injection, Refusal> {
    consider(&Pod::read(pod, "")?, None, namespace, namespace_labels, settings)
}

/// As [`inject`], for a pod or the template of a `workload`, once it is read.
fn consider(
    pod: &Pod,
    workload: Option<&str>,
    namespace: &str,
    namespace_labels: &BTreeMap<String, String>,
    settings: &Settings,
) -> Result<Injection, Refusal> {
    let subject = Subject {
        pod,
        namespace,
        namespace_labels,
        injection: &settings.injection,
    };
    let reason = decide::decide(&subject);
    let patch = match reason.injects() {
        true => patch::patch(pod, &sidecar::sidecar(pod, workload, settings)?),
        false => Patch::default(),
    };
    let warnings = warnings::warnings(&subject, reason, settings.proxy.uid);
    Ok(Injection {
        reason,
        patch,
        warnings,
    })
}
