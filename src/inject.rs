//! What a pod becomes when it is created: `pod` (read) -> `decide` (inject or skip, and why) -> `options` (what it gets, the
//! settings and its annotations together) -> `sidecar` (what is done) -> `status` (how to undo it) -> `patch` (the
//! operations). Pure: the raw pod, its namespace and the settings in. Before it: `webhook` for pods that are created,
//! [`manifest`] for files. `undo` is the way back, and `later` is for containers that others add after us.

pub mod manifest;

mod canonical;
mod decide;
mod later;
mod options;
mod owner;
mod patch;
mod place;
mod pod;
mod reason;
mod sidecar;
mod status;
mod undo;
mod warnings;

use std::collections::BTreeMap;

use json_patch::Patch;
use outrigger_proxy::init::InitArgs;
use serde_json::Value;

pub use options::{Chosen, Source};
pub use owner::Owner;
pub use reason::Reason;
pub(crate) use sidecar::PROXY;
pub use undo::{Undo, undo};

use crate::control::world;
use crate::settings::Settings;
use decide::Subject;
use options::Options;
use pod::Pod;
use status::Status;

/// The namespace that a pod will run in, whatever its own metadata says.
#[derive(Clone, Copy, Debug)]
pub struct Namespace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels, which decide.
    pub labels: &'a BTreeMap<String, String>,
    /// OpenShift's annotation `openshift.io/sa.scc.uid-range`: the user ids that its pods may have.
    pub uid_range: Option<&'a str>,
}

impl<'a> From<&'a world::Namespace> for Namespace<'a> {
    fn from(namespace: &'a world::Namespace) -> Self {
        Self {
            name: &namespace.name,
            labels: &namespace.labels,
            uid_range: namespace.uid_range.as_deref(),
        }
    }
}

/// The answer for one pod.
#[derive(Debug)]
pub struct Injection {
    /// The rule that decided.
    pub reason: Reason,
    /// What turns the pod into one with a proxy (RFC 6902); empty if the pod is to stay as it is.
    pub patch: Patch,
    /// What the pod's owner should hear, such as a wish that was not granted.
    pub warnings: Vec<String>,
    /// What is captured of its connections, if it was injected.
    pub capture: Option<InitArgs>,
    /// A hash of what is added, if it was injected.
    pub fingerprint: Option<String>,
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
    /// An annotation or a field that asks for what cannot be.
    #[error("{path} is {value:?}: {problem}")]
    Value {
        /// Where, as a JSON path from the top of the object.
        path: String,
        /// What is there.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: String,
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

impl Refusal {
    /// A stable code, for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_pod",
            Self::Value { .. } => "invalid_setting",
            Self::NameTaken { .. } => "name_taken",
        }
    }
}

/// Decides about a pod and says what changes it.
///
/// # Errors
/// The field or annotation that keeps the pod from being injected although it is to be.
pub fn inject(pod: &Value, namespace: &Namespace, settings: &Settings) -> Result<Injection, Refusal> {
    consider(pod, &Pod::read(pod, "")?, None, namespace, settings)
}

/// What a pod that is to be injected gets, each value with where it came from.
///
/// # Errors
/// As [`inject`].
pub fn chosen(pod: &Value, namespace: &Namespace, settings: &Settings) -> Result<Vec<Chosen>, Refusal> {
    Options::described(&Pod::read(pod, "")?, namespace, settings)
}

/// Every rule of the precedence table in its order, and whether it holds for a pod; the first that does decides.
///
/// # Errors
/// A field that is not what the Kubernetes API says it is.
pub fn rules(
    pod: &Value,
    namespace: &Namespace,
    settings: &Settings,
) -> Result<Vec<(Reason, bool)>, Refusal> {
    let pod = Pod::read(pod, "")?;
    Ok(decide::rules(&Subject {
        pod: &pod,
        namespace,
        injection: &settings.injection,
    }))
}

/// Who injected a pod, and what with.
#[derive(Debug)]
pub struct Injected {
    /// The version of Outrigger.
    pub version: String,
    /// The revision that it was installed as.
    pub revision: String,
    /// A hash of what was added, for comparison with that of [`again`].
    pub fingerprint: String,
}

/// What a pod's status says, if it was injected.
///
/// # Errors
/// A field that is not what the Kubernetes API says it is.
pub fn injected(pod: &Value) -> Result<Option<Injected>, Refusal> {
    let status = Status::read(&Pod::read(pod, "")?);
    Ok(status.map(|status| Injected {
        version: status.version,
        revision: status.revision,
        fingerprint: status.fingerprint,
    }))
}

/// What would be done today to a pod, as if it had not been injected yet.
///
/// # Errors
/// As [`inject`].
pub fn again(pod: &Value, namespace: &Namespace, settings: &Settings) -> Result<Injection, Refusal> {
    let mut pod = pod.clone();
    if let Some(undo) = undo(&pod)? {
        undo::apply(&mut pod, &undo.patch);
    }
    inject(&pod, namespace, settings)
}

/// As [`inject`], for a pod or the template of a `workload`, once it is read.
fn consider(
    raw: &Value,
    pod: &Pod,
    workload: Option<&str>,
    namespace: &Namespace,
    settings: &Settings,
) -> Result<Injection, Refusal> {
    let subject = Subject {
        pod,
        namespace,
        injection: &settings.injection,
    };
    let reason = decide::decide(&subject);
    let mut injection = Injection {
        reason,
        patch: Patch::default(),
        warnings: warnings::warnings(&subject, reason),
        capture: None,
        fingerprint: None,
    };
    match Status::read(pod) {
        Some(status) if reason == Reason::AlreadyInjected => {
            injection.patch = later::patch(raw, pod, status, namespace, settings)?;
        }
        _ if reason.injects() => {
            let options = Options::read(pod, namespace, settings)?;
            let mut sidecar = sidecar::sidecar(pod, workload, &options, settings)?;
            let status = Status::of(pod, &sidecar, settings);
            status.write(pod, &mut sidecar);
            injection.warnings.extend(options.warnings);
            injection.warnings.append(&mut sidecar.warnings);
            injection.patch = patch::patch(raw, pod, sidecar);
            injection.capture = Some(options.init);
            injection.fingerprint = Some(status.fingerprint);
        }
        _ => {}
    }
    Ok(injection)
}
