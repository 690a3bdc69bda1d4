//! The properties of a pod's patch: it can be applied, it changes nothing else, a second one is empty and it can be undone.

mod difference;
mod kubernetes;
mod manifests;
pub(crate) mod properties;
mod started;
pub(crate) mod strategy;
mod text;

use std::collections::BTreeMap;

use json_patch::Patch;
use outrigger::inject::{Injection, Namespace, Reason, Refusal, inject, undo};
use outrigger::settings::Settings;
use serde_json::{Value, json};

/// What a field can be before injection: absent, null, empty or with something in it.
fn variants(empty: Value, full: Value) -> [Option<Value>; 4] {
    [None, Some(Value::Null), Some(empty), Some(full)]
}

/// Pods with every combination of parents that a patch may have to create.
fn pods() -> Vec<Value> {
    let containers =
        json!([{"name": "app", "image": "app", "aFieldOfTomorrow": {"z": 1, "a": [null]}}, {"name": "b"}]);
    let spec = json!({"zone": "unknown field", "containers": containers, "dnsPolicy": "ClusterFirst"});
    let mut pods = vec![
        json!({"spec": spec}),
        json!({"metadata": null, "spec": spec}),
        json!({"spec": spec, "metadata": {}, "status": {"unknown": true}, "apiVersion": "v1"}),
    ];
    for labels in variants(json!({}), json!({"version": "v1", "app": "a", "a~b/c": "d"})) {
        for annotations in variants(json!({}), json!({"z": "1", "a": "2"})) {
            for init in variants(json!([]), json!([{"name": "migrate"}, {"name": "seed"}])) {
                for volumes in variants(json!([]), json!([{"name": "data", "emptyDir": {}}])) {
                    let mut pod = json!({"kind": "Pod", "metadata": {"generateName": "web-"}, "spec": spec});
                    let mut set = |parent: &str, field: &str, value: &Option<Value>| {
                        if let Some(value) = value {
                            pod[parent][field] = value.clone();
                        }
                    };
                    set("metadata", "labels", &labels);
                    set("metadata", "annotations", &annotations);
                    set("spec", "initContainers", &init);
                    set("spec", "volumes", &volumes);
                    pods.push(pod);
                }
            }
        }
    }
    pods
}

fn decided(pod: &Value) -> Result<Injection, Refusal> {
    decided_with(pod, &Settings::default())
}

fn decided_with(pod: &Value, settings: &Settings) -> Result<Injection, Refusal> {
    let enabled = BTreeMap::from([("istio-injection".to_string(), "enabled".to_string())]);
    let namespace = Namespace {
        name: "shop",
        labels: &enabled,
        uid_range: None,
    };
    inject(pod, &namespace, settings)
}

fn applied(pod: &Value, patch: &Patch) -> Value {
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, patch).expect("the patch applies");
    pod
}

fn injection(pod: &Value) -> Injection {
    decided(pod).expect("an answer")
}

fn injected(pod: &Value) -> Value {
    let answer = injection(pod);
    assert_eq!(answer.reason, Reason::NamespaceLabel, "{pod}");
    applied(pod, &answer.patch)
}

/// The pod without what its status says was done to it.
fn undone(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let undo = undo(&pod).expect("a pod").expect("a status");
    undo.apply(&mut pod);
    pod
}

#[test]
fn injecting_can_be_undone_exactly() {
    for pod in pods() {
        let undone = undone(&injected(&pod));
        // Text, so that the order counts too.
        assert_eq!(undone.to_string(), pod.to_string());
    }
}

#[test]
fn injecting_twice_is_injecting_once() {
    for pod in pods() {
        let once = injected(&pod);
        let second = injection(&once);
        assert_eq!(second.reason, Reason::AlreadyInjected, "{pod}");
        assert!(second.patch.is_empty() && second.warnings.is_empty(), "{pod}");
    }
}

#[test]
fn another_webhook_in_between_changes_nothing() {
    for pod in pods() {
        let mut once = injected(&pod);
        let list = |once: &mut Value, field: &str, index: usize, item: Value| {
            once["spec"][field]
                .as_array_mut()
                .expect("a list")
                .insert(index, item);
        };
        list(&mut once, "containers", 0, json!({"name": "vault-agent"}));
        list(&mut once, "initContainers", 0, json!({"name": "vault-init"}));
        list(&mut once, "initContainers", 2, json!({"name": "between"}));
        list(&mut once, "volumes", 0, json!({"name": "vault"}));
        once["metadata"]["annotations"]["vault/status"] = "injected".into();
        let second = injection(&once);
        assert_eq!(second.reason, Reason::AlreadyInjected, "{pod}");
        assert!(second.patch.is_empty(), "{pod}");
    }
}

#[test]
fn a_status_without_the_proxy_means_nothing() {
    let mut pod = injected(&pods()[0]);
    pod["spec"]["initContainers"] = json!([]);
    pod["spec"]["volumes"] = json!([]);
    let again = injected(&pod);
    assert_eq!(again["spec"]["initContainers"][1]["name"], "outrigger-proxy");
    assert_eq!(injection(&again).reason, Reason::AlreadyInjected);
}

#[test]
fn a_patch_only_adds_and_only_what_is_missing() {
    for pod in pods() {
        let patch = serde_json::to_value(injection(&pod).patch).expect("JSON");
        for operation in patch.as_array().expect("operations") {
            let path = operation["path"].as_str().expect("a path");
            let null = pod.pointer(path).is_some_and(Value::is_null);
            assert_eq!(operation["op"], if null { "replace" } else { "add" }, "{path}");
            let index = path
                .rsplit('/')
                .next()
                .is_some_and(|last| last.parse::<usize>().is_ok());
            let present = pod.pointer(path).is_some_and(|value| !value.is_null());
            assert!(!present || index, "{path} is there already: {pod}");
        }
    }
}

#[test]
fn keys_are_escaped() {
    let pod = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}}, "spec": {"containers": [{"name": "a"}]}});
    let patch = serde_json::to_value(injection(&pod).patch).expect("JSON");
    let paths: Vec<_> = patch
        .as_array()
        .expect("operations")
        .iter()
        .map(|operation| &operation["path"])
        .collect();
    let expected = [
        "/metadata/labels/service.istio.io~1canonical-revision",
        "/metadata/annotations/kubectl.kubernetes.io~1default-container",
        "/metadata/annotations/prometheus.io~1scrape",
        "/metadata/annotations/prometheus.io~1port",
        "/metadata/annotations/prometheus.io~1path",
        "/metadata/annotations/outrigger.dev~1status",
        "/spec/initContainers",
        "/spec/volumes",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn a_large_pod_gets_no_larger_patch() {
    let pod = |count: usize| {
        let env: Vec<_> = (0..count)
            .map(|index| json!({"name": format!("V{index}"), "value": "x".repeat(100)}))
            .collect();
        json!({"metadata": {"name": "large"}, "spec": {"containers": [{"name": "app", "env": env}]}})
    };
    let size = |pod: &Value| injection(pod).patch.to_string().len();
    assert_eq!(size(&pod(1500)), size(&pod(1)));
    assert_eq!(
        injected(&pod(1500))["spec"]["containers"],
        pod(1500)["spec"]["containers"]
    );
}

#[test]
fn settings_reach_the_pod() {
    let text = "
injection: {revision: canary}
proxy: {image: 'example.org/proxy:2', uid: 4000, drainSeconds: 7, logLevel: debug, imagePullPolicy: Never,
  discoveryAddress: 'canary.mesh.svc:15012', resources: {requests: {cpu: 100m}}}
";
    let settings = Settings::parse(text).expect("settings");
    let labels = BTreeMap::from([("istio.io/rev".to_string(), "canary".to_string())]);
    let mut pod = pods().remove(0);
    let namespace = Namespace {
        name: "shop",
        labels: &labels,
        uid_range: None,
    };
    let answer = inject(&pod, &namespace, &settings).expect("an answer");
    json_patch::patch(&mut pod, &answer.patch).expect("the patch applies");
    let (init, proxy) = (
        &pod["spec"]["initContainers"][0],
        &pod["spec"]["initContainers"][1],
    );
    assert_eq!(init["image"], "example.org/proxy:2");
    assert_eq!(init["args"][1], "--proxy-uid=4000");
    assert_eq!(proxy["imagePullPolicy"], "Never");
    assert_eq!(proxy["securityContext"]["runAsUser"], 4000);
    assert_eq!(proxy["securityContext"]["runAsGroup"], 4000);
    assert_eq!(proxy["resources"], json!({"requests": {"cpu": "100m"}}));
    let env = |name: &str| {
        let list = proxy["env"].as_array().expect("a list");
        list.iter().find(|variable| variable["name"] == name).expect(name)["value"].clone()
    };
    assert_eq!(env("OUTRIGGER_DISCOVERY_ADDRESS"), "canary.mesh.svc:15012");
    assert_eq!(env("OUTRIGGER_LOG"), "debug");
    assert_eq!(env("OUTRIGGER_DRAIN_SECONDS"), "7");
}
