//! Istio's canonical service: the labels under which metrics and traces group the pods of a workload.
//! A part of `sidecar`.

use super::owner::Owner;
use super::pod::Pod;

pub(super) const NAME: &str = "service.istio.io/canonical-name";
pub(super) const REVISION: &str = "service.istio.io/canonical-revision";

/// The canonical labels that the pod does not have yet.
pub(super) fn labels(pod: &Pod, workload: Option<&str>) -> Vec<(String, String)> {
    let labels = [
        (NAME, canonical_name(pod, workload)),
        (REVISION, canonical_revision(pod)),
    ];
    let missing = |(key, value): &(&str, String)| pod.label(key).is_none() && !value.is_empty();
    let labels = labels.into_iter().filter(missing);
    labels.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Istio's rule: the first of the labels app.kubernetes.io/name and app, else the workload's name.
fn canonical_name(pod: &Pod, workload: Option<&str>) -> String {
    let label = ["app.kubernetes.io/name", "app"]
        .iter()
        .find_map(|key| pod.label(key).filter(|value| !value.is_empty()));
    match label {
        Some(value) => value.into(),
        None => label_value(&workload.map_or_else(|| workload_name(pod), String::from)),
    }
}

/// Istio's rule: the first of the labels app.kubernetes.io/version and version, else `latest`.
fn canonical_revision(pod: &Pod) -> String {
    let label = ["app.kubernetes.io/version", "version"]
        .iter()
        .find_map(|key| pod.label(key).filter(|value| !value.is_empty()));
    label.unwrap_or("latest").into()
}

/// The name of what made the pod, or the pod's own.
fn workload_name(pod: &Pod) -> String {
    if let Some(owner) = pod.metadata.and_then(Owner::controlling) {
        return owner.name;
    }
    let text = |field| pod.metadata.and_then(|metadata| metadata.get(field)?.as_str());
    let generated = text("generateName").map(|name| name.trim_end_matches('-'));
    text("name").or(generated).unwrap_or_default().into()
}

/// An object's name may be 253 characters long and have dots, a label's value 63; both end in a letter or a digit.
fn label_value(name: &str) -> String {
    let short: String = name.chars().take(63).collect();
    short.trim_end_matches(['-', '.']).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(pod: Value, workload: Option<&str>, name: &str, revision: &str) {
        let view = Pod::read(&pod, "").expect("a pod");
        let expected =
            [(NAME, name), (REVISION, revision)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(labels(&view, workload), expected, "{pod}");
    }

    fn pod(metadata: Value) -> Value {
        json!({"metadata": metadata, "spec": {"containers": [{"name": "app"}]}})
    }

    #[test]
    fn canonical_labels_follow_istios_rules() {
        let replica_set = json!([{"kind": "ReplicaSet", "name": "shop-5d8f", "controller": true}]);
        let job = json!([{"kind": "Job", "name": "nightly-28", "controller": true}]);
        let cron = json!([{"kind": "Job", "name": "nightly-29383920", "controller": true}]);
        let owned = json!({"ownerReferences": replica_set, "labels": {"pod-template-hash": "5d8f"}});
        let long = "x".repeat(62) + ".tail";
        check(
            pod(json!({"labels": {"app": "a", "version": "v1"}})),
            None,
            "a",
            "v1",
        );
        check(
            pod(json!({"labels": {"app": "a", "app.kubernetes.io/name": "b"}})),
            None,
            "b",
            "latest",
        );
        check(
            pod(json!({"labels": {"app": "", "app.kubernetes.io/version": "2"}, "name": "p"})),
            None,
            "p",
            "2",
        );
        check(pod(owned), None, "shop", "latest");
        check(
            pod(json!({"ownerReferences": job, "name": "nightly-28-x7"})),
            None,
            "nightly-28",
            "latest",
        );
        check(pod(json!({"ownerReferences": cron})), None, "nightly", "latest");
        check(pod(json!({"generateName": "shop-"})), None, "shop", "latest");
        check(pod(json!({})), Some("shop"), "shop", "latest");
        check(pod(json!({"name": long})), None, &"x".repeat(62), "latest");
    }
}
