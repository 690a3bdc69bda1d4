//! Pods of all sorts for an API server's dry run: those of the manifests that are tested, and those that the properties of
//! `tests/pods` generate. After it: `security`.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::properties;

/// How many pods are generated, always the same ones; each is there a second time as the restricted level wants it.
const GENERATED: usize = 150;

/// A pod that the restricted level admits.
pub(crate) fn modest(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "app", "image": "localhost/app:1",
                "env": [{"name": "AT_START", "value": "http://outrigger.outrigger-system.svc:15014/ready"}],
                "readinessProbe": {"periodSeconds": 1, "httpGet": {"port": 8000, "path": "/ready"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

/// All pods, each with where it comes from. None has a namespace.
pub(crate) fn pods() -> Result<Vec<(String, Value)>> {
    let mut pods = vec![("the modest pod".to_owned(), modest("modest"))];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/inject");
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| path.display().to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        documents
            .iter()
            .for_each(|document| collect(document, &name, &mut pods));
    }
    let (mut runner, strategy) = (TestRunner::deterministic(), properties::pods());
    for number in 0..GENERATED {
        let generated = strategy
            .new_tree(&mut runner)
            .map_err(|reason| anyhow!("{reason}"))?;
        collect(&generated.current(), &format!("generated {number}"), &mut pods);
    }
    let hardened: Vec<_> = pods
        .iter()
        .map(|(origin, pod)| (format!("{origin}, hardened"), hardened(pod)))
        .collect();
    pods.extend(hardened);
    Ok(pods)
}

/// The pods in a manifest: itself, its template, its template's template, its items.
fn collect(object: &Value, origin: &str, pods: &mut Vec<(String, Value)>) {
    if object["spec"]["containers"].is_array() {
        let number = pods.len();
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": object["metadata"], "spec": object["spec"]});
        pod["metadata"]["name"] = format!("pod-{number}").into();
        if let Some(metadata) = pod["metadata"].as_object_mut() {
            metadata.shift_remove("namespace");
        }
        pods.push((origin.to_owned(), pod));
        return;
    }
    for nested in ["template", "jobTemplate"].map(|field| &object["spec"][field]) {
        if nested.is_object() {
            collect(nested, origin, pods);
        }
    }
    for item in object["items"].as_array().into_iter().flatten() {
        collect(item, origin, pods);
    }
}

/// The pod with nothing that the restricted level forbids in its security contexts.
fn hardened(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["spec"]["securityContext"] =
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    for field in ["initContainers", "containers"] {
        for container in pod["spec"][field].as_array_mut().into_iter().flatten() {
            container["securityContext"] =
                json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        }
    }
    pod
}
