//! What the owner of a pod is told: a warning at once, an Event afterwards, and answers of the command line.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::kubectl::{Namespace, eventually, kubectl, output};
use crate::scene::Scene;

pub(crate) static SCENE: Scene = Scene::new("told", "");

fn pod(name: &str, labels: &Value) -> String {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "app", "image": "localhost/app:1"}]},
    })
    .to_string()
}

/// A pod whose label has a word that is neither yes nor no: kubectl prints why it has no proxy, and an Event keeps it;
/// a dry run is warned too and leaves no Event.
pub(crate) fn warned() -> Result<()> {
    let namespace = SCENE.namespace()?;
    let unclear = json!({"sidecar.istio.io/inject": "yes"});
    // Rehearsed more often than there are replicas, each of which writes its own Events, in the order of its reviews.
    let rehearsal = ("rehearsed", &["--dry-run=server"][..]);
    for (name, flags) in [rehearsal, rehearsal, rehearsal, rehearsal, ("unclear", &[])] {
        let create = [&["-n", namespace.0, "create", "-f", "-"], flags].concat();
        let (_, warnings) = output("kubectl", &create, &pod(name, &unclear))?;
        ensure!(
            warnings.contains("Warning: ") && warnings.contains("sidecar.istio.io/inject"),
            "kubectl said {warnings:?} of pod {name}"
        );
    }
    let events = |name: &str| -> Result<Vec<Value>> {
        let events = namespace.object("events")?;
        let events = events["items"].as_array().into_iter().flatten();
        Ok(events
            .filter(|event| {
                event["involvedObject"]["name"] == name
                    && event["message"]
                        .as_str()
                        .is_some_and(|said| said.contains("sidecar.istio.io/inject"))
            })
            .cloned()
            .collect())
    };
    eventually("an Event of pod unclear", Duration::from_secs(20), || {
        Ok(!events("unclear")?.is_empty())
    })?;
    ensure!(events("rehearsed")?.is_empty(), "a dry run has left an Event");
    Ok(())
}

/// One pod that was there before its namespace asked for proxies, one that an older version has injected, and one that
/// is as it should be.
pub(crate) fn checked() -> Result<()> {
    let namespace = SCENE.namespace()?;
    kubectl(&["label", "namespace", namespace.0, "istio-injection-"])?;
    namespace.apply(&pod("missed", &json!({})))?;
    kubectl(&["label", "namespace", namespace.0, "istio-injection=enabled"])?;
    // The control plane follows the label by a watch of its own.
    eventually(
        "the namespace asks for proxies again",
        Duration::from_secs(10),
        || {
            namespace.kubectl(&["delete", "pod", "fine", "old", "--ignore-not-found"])?;
            namespace.apply(&pod("fine", &json!({})))?;
            namespace.apply(&pod("old", &json!({})))?;
            Ok(["fine", "old"].iter().all(|name| status(namespace, name).is_ok()))
        },
    )?;
    let mut old = status(namespace, "old")?;
    old["version"] = "0.0.1".into();
    old["fingerprint"] = "another".into();
    let old = format!("outrigger.dev/status={old}");
    namespace.kubectl(&["annotate", "--overwrite", "pod", "old", &old])?;
    for name in ["missed", "fine", "old"] {
        namespace.ready(name)?;
    }
    let (code, said) = outrigger_says(&["check"])?;
    ensure!(code == Some(1), "`outrigger check` ended with {code:?}:\n{said}");
    for (name, listed) in [("missed", true), ("old", true), ("fine", false)] {
        let found = said.contains(&format!("{}/{name}", namespace.0));
        ensure!(found == listed, "pod {name} is listed: {found}, in\n{said}");
    }
    Ok(())
}

fn status(namespace: &Namespace, pod: &str) -> Result<Value> {
    let pod = namespace.object(&format!("pod/{pod}"))?;
    let text = pod["metadata"]["annotations"]["outrigger.dev/status"].as_str();
    Ok(serde_json::from_str(text.context("no status")?)?)
}

/// The decision, the rule that made it, and the redirection, for a pod with a proxy and for one without.
pub(crate) fn explained() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.apply(&pod("asked", &json!({})))?;
    let (code, said) = outrigger_says(&["explain", "pod", "asked", "-n", namespace.0])?;
    ensure!(
        code == Some(0) && said.contains("istio-injection") && said.contains("15001"),
        "`outrigger explain pod asked` ended with {code:?}:\n{said}"
    );
    namespace.apply(&pod("declined", &json!({"sidecar.istio.io/inject": "false"})))?;
    let (code, said) = outrigger_says(&["explain", "pod", "declined", "-n", namespace.0])?;
    ensure!(
        code == Some(0) && said.contains("sidecar.istio.io/inject"),
        "`outrigger explain pod declined` ended with {code:?}:\n{said}"
    );
    Ok(())
}

/// A rule that cannot mean anything is not taken; one that leads to a subset that nobody defined says so in its status, by an
/// Event and to `outrigger check`, until somebody has.
pub(crate) fn wrong_rules() -> Result<()> {
    let namespace = SCENE.namespace()?;
    let rule = |name: &str, http: Value| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name},
            "spec": {"hosts": [name], "http": [http]},
        })
        .to_string()
    };
    namespace.apply(
        &json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "lost"},
            "spec": {"selector": {"app": "nobody"}, "ports": [{"name": "http", "port": 80}]},
        })
        .to_string(),
    )?;
    let destination = json!([{"destination": {"host": "lost", "subset": "v9"}}]);
    let meaningless = rule("lost", json!({"route": destination, "timeout": "soon"}));
    // The API server trusts the webhook some moments after an installation.
    eventually(
        "the webhook is asked about rules",
        Duration::from_secs(20),
        || match namespace.apply(&meaningless) {
            Err(error) if format!("{error:#}").contains("spec.http[0].timeout") => Ok(true),
            Err(error) => Err(error),
            Ok(()) => namespace
                .kubectl(&["delete", "virtualservice", "lost"])
                .map(|_| false),
        },
    )?;

    namespace.apply(&rule("lost", json!({"route": destination})))?;
    let condition = "jsonpath={.status.conditions[?(@.type=='outrigger.dev/Accepted')].message}";
    eventually("the status names the subset", Duration::from_secs(20), || {
        let said = namespace.kubectl(&["get", "virtualservice", "lost", "-o", condition])?;
        Ok(said.contains("subset v9"))
    })?;
    eventually("an Event of the rule", Duration::from_secs(20), || {
        let events = namespace.kubectl(&["events", "--for", "virtualservice/lost"])?;
        Ok(events.contains("subset v9"))
    })?;
    let (_, said) = outrigger_says(&["check"])?;
    let object = format!("VirtualService {}/lost", namespace.0);
    ensure!(
        said.contains(&object),
        "`outrigger check` does not name {object}:\n{said}"
    );
    namespace.apply(
        &json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "lost"},
            "spec": {"host": "lost", "subsets": [{"name": "v9", "labels": {"version": "v9"}}]},
        })
        .to_string(),
    )?;
    eventually("the rule is well", Duration::from_secs(20), || {
        let said = namespace.kubectl(&["get", "virtualservice", "lost", "-o", condition])?;
        Ok(!said.contains("is in no DestinationRule"))
    })
}

/// Where a request of a pod goes, by which rule and why not by another, as the cluster has it; the exit code says whether it
/// arrives.
pub(crate) fn request_explained() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.apply(&pod("asking", &json!({"app": "asking"})))?;
    namespace.apply(
        r#"
apiVersion: v1
kind: Service
metadata: { name: answers }
spec: { selector: { app: nobody }, ports: [{ name: http, port: 80 }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: answers }
spec:
  hosts: [answers]
  http:
    - match: [{ uri: { prefix: /fine }, sourceLabels: { app: asking } }]
      directResponse: { status: 200, body: { string: fine } }
    - route: [{ destination: { host: answers } }]
"#,
    )?;
    for (path, code, says) in [
        (
            "/fine",
            0,
            "is answered with 200 by VirtualService told/answers http[0]",
        ),
        (
            "/other",
            1,
            "VirtualService told/answers http[0]: uri prefix \"/fine\": the path is \"/other\"",
        ),
    ] {
        let to = format!("http://answers{path}");
        let request = [
            "explain",
            "request",
            "--from",
            "asking",
            "-n",
            namespace.0,
            "--to",
            &to,
        ];
        let (ended, said) = outrigger_says(&request)?;
        ensure!(
            ended == Some(code) && said.contains(says),
            "`outrigger explain request` to {to} ended with {ended:?}:\n{said}"
        );
    }
    Ok(())
}

/// The exit code of a command of ours and all that it said.
fn outrigger_says(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = Command::new(crate::by_hand::program()?)
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}
