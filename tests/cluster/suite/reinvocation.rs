//! Another webhook changes a pod after ours has: the API server asks ours again, and the pod comes out right.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::kubectl::Namespace;
use crate::other_webhook::OtherWebhook;
use crate::scene::{Scene, containers, names};

pub(crate) static SCENE: Scene = Scene::new("reinvocation", "");

fn pod(name: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"other": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "app", "image": "localhost/app:1",
                "readinessProbe": {"periodSeconds": 1, "httpGet": {"port": 8000, "path": "/ready"}},
            }],
        },
    })
    .to_string()
}

/// A container with a probe, at the front, and an init container before all others.
fn add(_: &Value) -> Value {
    json!([
        {"op": "add", "path": "/spec/containers/0", "value": {
            "name": "agent", "image": "localhost/app:1", "env": [{"name": "PORT", "value": "8100"}],
            "readinessProbe": {"periodSeconds": 1, "httpGet": {"port": 8100, "path": "/agent"}},
        }},
        {"op": "add", "path": "/spec/initContainers/0", "value": {
            "name": "agent-init", "image": "docker.io/curlimages/curl", "imagePullPolicy": "IfNotPresent", "args": ["--version"],
        }},
    ])
}

/// An environment variable for every container that is there, which means ours as well.
fn change(pod: &Value) -> Value {
    let mut patch = vec![];
    for field in ["initContainers", "containers"] {
        for (index, (_, container)) in containers(pod, field).into_iter().enumerate() {
            let (path, value) = (
                format!("/spec/{field}/{index}/env"),
                json!({"name": "OTHER", "value": "was here"}),
            );
            patch.push(match container["env"].is_array() {
                true => json!({"op": "add", "path": format!("{path}/-"), "value": value}),
                false => json!({"op": "add", "path": path, "value": [value]}),
            });
        }
    }
    patch.into()
}

/// A container of another webhook, after ours has answered.
pub(crate) fn container_added() -> Result<()> {
    let namespace = SCENE.namespace()?;
    let _other = OtherWebhook::start("adds", namespace.0, add)?;
    namespace.apply(&pod("adds"))?;
    let pod = comes_out_right(namespace, "adds")?;
    ensure!(
        names(&pod, "containers") == ["agent", "app"],
        "the containers are {:?}",
        names(&pod, "containers")
    );
    for (name, container) in containers(&pod, "containers") {
        let probe = &container["readinessProbe"]["httpGet"];
        ensure!(
            probe["port"] == 15020 && probe["path"] == format!("/app-health/{name}/readyz"),
            "container {name} is probed at {probe}"
        );
    }
    namespace.hears("adds", "agent", "http /agent")
}

/// Our own containers, changed by another webhook, keep its change and work.
pub(crate) fn ours_changed() -> Result<()> {
    let namespace = SCENE.namespace()?;
    let _other = OtherWebhook::start("changes", namespace.0, change)?;
    namespace.apply(&pod("changes"))?;
    let pod = comes_out_right(namespace, "changes")?;
    for (name, container) in [containers(&pod, "initContainers"), containers(&pod, "containers")].concat() {
        let env = container["env"].as_array().context("variables")?;
        let changed = env.iter().filter(|variable| variable["name"] == "OTHER").count();
        ensure!(
            changed > 0,
            "container {name} has lost its variable OTHER: {env:?}"
        );
    }
    Ok(())
}

/// It is ready, with each of our containers once.
fn comes_out_right(namespace: &Namespace, name: &str) -> Result<Value> {
    namespace.ready(name)?;
    let pod = namespace.object(&format!("pod/{name}"))?;
    let all = [names(&pod, "initContainers"), names(&pod, "containers")].concat();
    for ours in ["outrigger-init", "outrigger-proxy"] {
        let count = all.iter().filter(|name| **name == ours).count();
        ensure!(count == 1, "{ours} is there {count} times: {all:?}");
    }
    Ok(pod)
}
