//! Running pods against today's rules: which should have a proxy and do not, have an old one, or one that today's settings
//! would make otherwise. Pure: the raw pod, its namespace and the settings in. After it: `audit::rounds` in the control
//! plane and the command `check`.

pub mod rounds;

use json_patch::{AddOperation, PatchOperation};
use serde::Serialize;
use serde_json::Value;

use crate::inject::manifest::asking;
use crate::inject::{self, Injected, Injection, Namespace, PROXY, Reason};
use crate::settings::Settings;

/// Selects the pods that have not ended, in a list.
pub const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// What can be found.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Code {
    /// The rules say that it gets a proxy, and it has none.
    Missing,
    /// Its proxy is of another version, image or revision than today's.
    Outdated,
    /// It was injected with other settings than today's.
    Differs,
    /// It has our proxy, and the rules say that it gets none.
    Unwanted,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 4] = [Self::Missing, Self::Outdated, Self::Differs, Self::Unwanted];

    /// A stable word, for metrics and scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Outdated => "outdated",
            Self::Differs => "differs",
            Self::Unwanted => "unwanted",
        }
    }
}

/// What was found of one pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Of which kind.
    pub code: Code,
    /// Why, as a sentence.
    pub why: String,
}

/// What is to be said about a running pod, if anything is. A pod that has ended or is being deleted is of no interest any
/// more. Of the revisions of a cluster one speaks about each pod: the one that the labels name now, else the one that
/// injected it.
pub fn audit(pod: &Value, namespace: &Namespace, settings: &Settings) -> Option<Finding> {
    let phase = &pod["status"]["phase"];
    if !pod["metadata"]["deletionTimestamp"].is_null() || phase == "Succeeded" || phase == "Failed" {
        return None;
    }
    let then = match inject::injected(pod) {
        Ok(then) => then,
        Err(refusal) => return found(Code::Differs, format!("it cannot be audited: {refusal}")),
    };
    match (then, inject::again(pod, namespace, settings)) {
        (_, Ok(today)) if today.reason == Reason::OtherRevision => None,
        (_, Ok(today)) if today.reason == Reason::NotThisRevision && is_for_default(pod, namespace) => None,
        (None, Ok(today)) if !today.reason.injects() => None,
        (None, Ok(today)) => found(
            Code::Missing,
            format!("it has no proxy although {}", today.reason.because()),
        ),
        (None, Err(refusal)) => found(
            Code::Missing,
            format!("it has no proxy, and would be refused today: {refusal}"),
        ),
        (Some(then), Ok(today)) if [Reason::NotSelected, Reason::NotThisRevision].contains(&today.reason) => {
            by_hand(pod, &then, namespace, settings)
        }
        (Some(then), Ok(today)) if !today.reason.injects() => {
            let ours = then.revision == settings.injection.revision;
            let why = format!("it has a proxy although {}", today.reason.because());
            ours.then_some(Finding {
                code: Code::Unwanted,
                why,
            })
        }
        (Some(then), Ok(today)) => compare(pod, &then, &today, settings),
        (Some(_), Err(refusal)) => found(Code::Differs, format!("it would be refused today: {refusal}")),
    }
}

/// Whether a pod that names no revision asks for a proxy, and so for that of the default one.
fn is_for_default(pod: &Value, namespace: &Namespace) -> bool {
    namespace.labels.contains_key("istio-injection")
        || pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "true"
}

/// A pod with a proxy for which nothing asks: its manifest was injected, or a label has gone since, which is not told apart.
/// It is compared with what a namespace that asks would give it.
fn by_hand(pod: &Value, then: &Injected, namespace: &Namespace, settings: &Settings) -> Option<Finding> {
    if then.revision != settings.injection.revision {
        return None;
    }
    let labels = asking(settings);
    let asks = Namespace {
        labels: &labels,
        ..*namespace
    };
    match inject::again(pod, &asks, settings) {
        Ok(today) if today.reason.injects() => compare(pod, then, &today, settings),
        _ => None,
    }
}

/// A pod with a proxy, and what would be done to it today.
fn compare(pod: &Value, then: &Injected, today: &Injection, settings: &Settings) -> Option<Finding> {
    let outdated = |what: &str, was: &str, is: &str| {
        let why = format!("its proxy is of {what} {was}, and today's is {is}");
        (was != is).then_some(Finding {
            code: Code::Outdated,
            why,
        })
    };
    let revision = &settings.injection.revision;
    outdated("revision", &then.revision, revision)
        .or_else(|| outdated("version", &then.version, env!("CARGO_PKG_VERSION")))
        .or_else(|| outdated("image", running_image(pod)?, today_image(today)?))
        .or_else(|| {
            let same = today.fingerprint.as_ref() == Some(&then.fingerprint);
            let why = "it was injected with other settings than today's".to_owned();
            (!same).then_some(Finding {
                code: Code::Differs,
                why,
            })
        })
}

fn found(code: Code, why: String) -> Option<Finding> {
    Some(Finding { code, why })
}

fn running_image(pod: &Value) -> Option<&str> {
    let lists = ["initContainers", "containers"];
    image(
        lists
            .iter()
            .filter_map(|list| pod["spec"][list].as_array())
            .flatten(),
    )
}

fn today_image(today: &Injection) -> Option<&str> {
    image(today.patch.iter().flat_map(|operation| match operation {
        // The list, where there was none, or the container.
        PatchOperation::Add(AddOperation {
            value: Value::Array(list),
            ..
        }) => list.as_slice(),
        PatchOperation::Add(AddOperation { value, .. }) => std::slice::from_ref(value),
        _ => &[],
    }))
}

fn image<'a>(mut containers: impl Iterator<Item = &'a Value>) -> Option<&'a str> {
    containers.find(|container| container["name"] == PROXY)?["image"].as_str()
}

#[cfg(test)]
mod tests;
