//! Namespaces of every Pod Security level: what may be created in them, and how a pod gets into the mesh where nobody may
//! set up iptables.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::annotations::dry_run;
use crate::install::outrigger;
use crate::kubectl::{Namespace, eventually, kubectl, run};
use crate::revisions::canary_without_init;
use crate::scene::containers;

const LEVELS: [(&str, &str, &str); 3] = [
    ("privileged", "security-privileged", "security-privileged-plain"),
    ("baseline", "security-baseline", "security-baseline-plain"),
    ("restricted", "security-restricted", "security-restricted-plain"),
];

/// A pod that the restricted level admits.
fn modest(name: &str) -> Value {
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

fn namespace(name: &'static str, level: &str, label: &str) -> Result<Namespace> {
    let namespace = Namespace::create(name)?;
    let level = format!("pod-security.kubernetes.io/enforce={level}");
    kubectl(
        &[
            &["label", "namespace", name, &level][..],
            &label.split_whitespace().collect::<Vec<_>>(),
        ]
        .concat(),
    )?;
    Ok(namespace)
}

/// With the init container a pod needs the privileged level, and the API server's refusal names it.
pub(crate) fn with_init() -> Result<()> {
    outrigger()?;
    for (level, name, _) in LEVELS {
        let namespace = namespace(name, level, "istio-injection=enabled")?;
        match (level, dry_run(&namespace, &modest("modest"))) {
            ("privileged", answer) => drop(answer?),
            (_, Ok(_)) => anyhow::bail!("level {level} has admitted NET_ADMIN"),
            (_, Err(refusal)) => {
                let refusal = refusal.to_string();
                ensure!(
                    refusal.contains("outrigger-init") && !refusal.contains("outrigger-proxy"),
                    "level {level} refuses more than the init container: {refusal}"
                );
            }
        }
    }
    Ok(())
}

/// Whatever a level admits without a proxy it admits with one, where something else sets up the redirection; and where
/// the init container may, at the privileged level.
pub(crate) fn every_level() -> Result<()> {
    canary_without_init()?;
    let pods = pods()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let client = runtime.block_on(kube::Client::try_default())?;
    for (level, injected, plain) in LEVELS {
        let label = match level {
            "privileged" => "istio-injection=enabled",
            _ => "istio.io/rev=canary",
        };
        let (injected, plain) = (namespace(injected, level, label)?, namespace(plain, level, "")?);
        let (mut admitted, mut refused) = (0, 0);
        for (origin, pod) in &pods {
            let create = |namespace| runtime.block_on(created(&client, namespace, pod));
            if create(&plain).is_err() {
                refused += 1;
                continue;
            }
            let kept =
                create(&injected).with_context(|| format!("level {level} refuses {origin} with a proxy"))?;
            admitted += usize::from(kept["metadata"]["annotations"]["outrigger.dev/status"].is_string());
        }
        println!(
            "    level {level}: {admitted} of {} pods have a proxy; {refused} are refused without",
            pods.len()
        );
        ensure!(admitted > 0, "level {level} admits none of the pods");
        plain.delete()?;
    }
    Ok(())
}

/// The modest pod, and those of all manifests of `tests/testdata/inject`, injected by hand and not.
fn pods() -> Result<Vec<(String, Value)>> {
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
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        documents
            .iter()
            .for_each(|document| collect(document, &name, &mut pods));
    }
    Ok(pods)
}

/// The pods in a manifest: itself, its template, its template's template, its items.
fn collect(object: &Value, origin: &str, pods: &mut Vec<(String, Value)>) {
    if object["spec"]["containers"].is_array() {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": object["metadata"], "spec": object["spec"]});
        let restarts = &mut pod["spec"]["restartPolicy"];
        if restarts.is_null() {
            *restarts = "Always".into();
        }
        let number = pods.len();
        pod["metadata"]["name"] = format!("pod-{number}").into();
        if let Some(metadata) = pod["metadata"].as_object_mut() {
            metadata.shift_remove("namespace");
        }
        pods.push((format!("{origin}, pod {number}"), pod));
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

/// The pod as the API server would keep it, with what it does not know ignored.
async fn created(client: &kube::Client, namespace: &Namespace, pod: &Value) -> Result<Value> {
    let path = format!(
        "/api/v1/namespaces/{}/pods?dryRun=All&fieldValidation=Ignore",
        namespace.0
    );
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(pod.to_string().into_bytes())?;
    Ok(client.request(request).await?)
}

/// The suite plays the agent of a node: it sets up the redirection from outside, and the pod starts under the strictest
/// level and calls through its proxy. Without that it does not start, and says what is missing.
pub(crate) fn set_up_by_others() -> Result<()> {
    canary_without_init()?;
    let namespace = namespace("security-agent", "restricted", "istio.io/rev=canary")?;
    for name in ["served", "forgotten"] {
        run(
            "kubectl",
            &["-n", namespace.0, "apply", "-f", "-"],
            &modest(name).to_string(),
        )?;
    }
    let pod = namespace.object("pod/served")?;
    for (name, container) in containers(&pod, "initContainers") {
        let added = &container["securityContext"]["capabilities"]["add"];
        ensure!(added.is_null(), "container {name} has capabilities: {added}");
    }
    let uid = pod["metadata"]["uid"].as_str().context("a uid")?;
    redirect(uid)?;
    namespace.ready("served")?;
    namespace.hears("served", "app", "AT_START: 200")?;
    let carried = namespace.carried("served", "Outbound")?;
    ensure!(carried == 1.0, "the proxy carried {carried} calls, of one");

    eventually(
        "the forgotten pod's first container gives up",
        Duration::from_secs(120),
        || {
            let pod = namespace.object("pod/forgotten")?;
            let status = &pod["status"]["initContainerStatuses"][0];
            let ended =
                [&status["state"], &status["lastState"]].map(|state| &state["terminated"]["exitCode"]);
            Ok(ended.into_iter().any(|code| *code == 1))
        },
    )?;
    let restarts = "jsonpath={.status.initContainerStatuses[0].restartCount}";
    let restarts = namespace.kubectl(&["get", "pod", "forgotten", "-o", restarts])?;
    let previous: &[&str] = if restarts == "0" { &[] } else { &["--previous"] };
    let log = namespace.kubectl(&[&["logs", "forgotten", "-c", "outrigger-init"], previous].concat())?;
    ensure!(
        log.contains("15001"),
        "the init container does not say what is missing: {log}"
    );
    let started = namespace.object("pod/forgotten")?;
    ensure!(
        started["status"]["containerStatuses"][0]["started"] != true,
        "the application runs without a proxy"
    );
    namespace.delete()?;
    Namespace(LEVELS[0].1).delete()?;
    Namespace(LEVELS[1].1).delete()?;
    Namespace(LEVELS[2].1).delete()
}

/// What an agent on the node does when a pod's network is there: `outrigger-proxy init` in it, from outside.
fn redirect(uid: &str) -> Result<()> {
    let programs = std::env::var("OUTRIGGER_PROGRAMS")
        .context("OUTRIGGER_PROGRAMS is not set: use tests/cluster/run")?;
    let mut process = None;
    eventually(
        "the pod's first process is there",
        Duration::from_secs(60),
        || {
            process = processes(uid)?.into_iter().next();
            Ok(process.is_some())
        },
    )?;
    let output = Command::new("nsenter")
        .args(["-t", &process.context("a process")?.to_string(), "-n"])
        .arg(format!("{programs}/outrigger-proxy"))
        .args([
            "init",
            "--proxy-uid",
            "1337",
            "--outbound-port",
            "15001",
            "--inbound-port",
            "15006",
        ])
        .args(["--exclude-inbound-ports", "15020,15021"])
        .output()
        .context("nsenter")?;
    ensure!(
        output.status.success(),
        "outrigger-proxy init: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The processes of a pod, by its uid, as this machine numbers them: none when it runs on another.
pub(crate) fn processes(uid: &str) -> Result<Vec<u32>> {
    let mut found = vec![];
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        if groups.contains(&format!("pod{uid}")) {
            found.push(process);
        }
    }
    Ok(found)
}
