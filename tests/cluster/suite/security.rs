//! Namespaces of every Pod Security level: what may be created in them, and how a pod gets into the mesh where nobody may
//! set up iptables.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::corpus::{self, modest};
use crate::install::outrigger;
use crate::kubectl::{Namespace, eventually, kubectl};
use crate::revisions::canary_without_init;
use crate::scene::containers;

const LEVELS: [(&str, &str, &str); 3] = [
    ("privileged", "security-privileged", "security-privileged-plain"),
    ("baseline", "security-baseline", "security-baseline-plain"),
    ("restricted", "security-restricted", "security-restricted-plain"),
];

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
    for (level, name) in [
        ("privileged", "security-init-privileged"),
        ("baseline", "security-init-baseline"),
        ("restricted", "security-init-restricted"),
    ] {
        let namespace = namespace(name, level, "istio-injection=enabled")?;
        match (level, namespace.dry_run(&modest("modest"))) {
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
        namespace.delete()?;
    }
    Ok(())
}

/// Whatever a level admits without a proxy it admits with one, where something else sets up the redirection; and where
/// the init container may, at the privileged level.
pub(crate) fn every_level() -> Result<()> {
    canary_without_init()?;
    let pods = corpus::pods()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let client = runtime.block_on(kube::Client::try_default())?;
    for (level, injected, plain) in LEVELS {
        let label = match level {
            "privileged" => "istio-injection=enabled",
            _ => "istio.io/rev=canary",
        };
        let (injected, plain) = (namespace(injected, level, label)?, namespace(plain, level, "")?);
        let answers = stream::iter(&pods)
            .map(|(origin, pod)| admitted(&client, [&plain, &injected], origin, pod))
            .buffer_unordered(8)
            .try_collect::<Vec<_>>();
        let answers = runtime
            .block_on(answers)
            .with_context(|| format!("level {level}"))?;
        let count = |wanted: Admitted| answers.iter().filter(|answer| **answer == wanted).count();
        let admitted = count(Admitted::WithProxy);
        println!(
            "    level {level}: of {} pods {admitted} are admitted with a proxy, {} remain without, {} \
             are denied by the injector, {} are refused either way",
            pods.len(),
            count(Admitted::WithoutProxy),
            count(Admitted::Denied),
            count(Admitted::No)
        );
        ensure!(admitted > 0, "level {level} admits none of the pods");
        plain.delete()?;
        injected.delete()?;
    }
    Ok(())
}

/// What the API server says to a pod in a namespace that asks for proxies.
#[derive(PartialEq)]
enum Admitted {
    WithProxy,
    WithoutProxy,
    /// The injector has refused it, and said why.
    Denied,
    /// Nor would it be without a proxy.
    No,
}

async fn admitted(
    client: &kube::Client,
    [plain, injected]: [&Namespace; 2],
    origin: &str,
    pod: &Value,
) -> Result<Admitted> {
    if created(client, plain, pod).await.is_err() {
        return Ok(Admitted::No);
    }
    match created(client, injected, pod).await {
        Ok(kept) if kept["metadata"]["annotations"]["outrigger.dev/status"].is_string() => {
            Ok(Admitted::WithProxy)
        }
        Ok(_) => Ok(Admitted::WithoutProxy),
        Err(error) if error.to_string().contains("denied the request") => Ok(Admitted::Denied),
        Err(error) => Err(error.context(format!("{origin} is refused with a proxy only: {pod}"))),
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

/// Neither of our containers has the token with which the application speaks to the API.
pub(crate) fn without_the_api() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::injected("security-without-api")?;
    let pod = namespace.dry_run(&modest("modest"))?;
    let mut found = Vec::new();
    for (name, container) in [containers(&pod, "initContainers"), containers(&pod, "containers")].concat() {
        let mounts = container["volumeMounts"].as_array().context("no mounts")?;
        let volumes: Vec<_> = mounts
            .iter()
            .map(|mount| mount["name"].as_str().unwrap_or_default())
            .collect();
        let has_token = volumes.iter().any(|volume| volume.starts_with("kube-api-access"));
        found.push((name, has_token));
    }
    let expected = [
        ("outrigger-init", false),
        ("outrigger-proxy", false),
        ("app", true),
    ];
    ensure!(found == expected, "who has the API's token: {found:?}");
    namespace.delete()
}

/// An application that runs as the proxy's user would be captured by nobody: the proxy takes another. So it does where
/// OpenShift gives a namespace users of its own.
pub(crate) fn users() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::injected("security-users")?;
    let run_as = |name: &str, context: Value| {
        let mut pod = modest(name);
        pod["spec"]["securityContext"] = context;
        pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = true.into();
        namespace.apply(&pod.to_string())
    };
    run_as("same", json!({"runAsUser": 1337, "runAsNonRoot": true}))?;
    let range = "openshift.io/sa.scc.uid-range=1000660000/10000";
    kubectl(&["annotate", "namespace", namespace.0, range])?;
    let random = json!({"runAsUser": 1_000_660_000, "fsGroup": 1_000_660_000, "runAsNonRoot": true});
    eventually(
        "the control plane knows of the range",
        Duration::from_secs(10),
        || {
            namespace.kubectl(&["delete", "pod", "random", "--ignore-not-found"])?;
            run_as("random", random.clone())?;
            Ok(proxy_user(&namespace, "random")? == 1_000_660_001)
        },
    )?;
    ensure!(
        proxy_user(&namespace, "same")? != 1337,
        "application and proxy are the same user"
    );
    for pod in ["same", "random"] {
        namespace.ready(pod)?;
        namespace.hears(pod, "app", "AT_START: 200")?;
        let carried = namespace.carried(pod, "Outbound")?;
        ensure!(
            carried == 1.0,
            "the proxy of {pod} carried {carried} calls, of one"
        );
    }
    namespace.delete()
}

fn proxy_user(namespace: &Namespace, pod: &str) -> Result<u64> {
    let pod = namespace.object(&format!("pod/{pod}"))?;
    let containers = containers(&pod, "initContainers");
    let proxy = containers.iter().find(|(name, _)| *name == "outrigger-proxy");
    let user = &proxy.context("no proxy")?.1["securityContext"]["runAsUser"];
    user.as_u64().context("no user")
}

/// The suite plays the agent of a node: it sets up the redirection from outside, and the pod starts under the strictest
/// level and calls through its proxy. Without that it does not start, and says what is missing.
pub(crate) fn set_up_by_others() -> Result<()> {
    canary_without_init()?;
    let namespace = namespace("security-agent", "restricted", "istio.io/rev=canary")?;
    let host = kubectl(&[
        "get",
        "nodes",
        "-o",
        "jsonpath={.items[0].metadata.labels.kubernetes\\.io/hostname}",
    ])?;
    for name in ["served", "forgotten"] {
        let mut pod = modest(name);
        // The suite's own, so that it can tell the pod's network from the node's.
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": host});
        namespace.apply(&pod.to_string())?;
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
    namespace.delete()
}

/// What an agent on the node does when a pod's network is there: `outrigger-proxy init` in it, from outside.
fn redirect(uid: &str) -> Result<()> {
    let programs = std::env::var("OUTRIGGER_PROGRAMS")
        .context("OUTRIGGER_PROGRAMS is not set: use tests/cluster/run")?;
    let network = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
    let own = network("self")?;
    eventually("the pod's network is set up", Duration::from_secs(60), || {
        let processes = processes(uid)?;
        // A container's first process is in the node's network for a moment.
        let inside = |process: &&u32| network(&process.to_string()).is_ok_and(|found| found != own);
        let process = processes.iter().find(inside).context("no process of the pod")?;
        let output = Command::new("nsenter")
            .args(["-t", &process.to_string(), "-n"])
            .arg(format!("{programs}/outrigger-proxy"))
            .args([
                "init",
                "--proxy-uid=1337",
                "--outbound-port=15001",
                "--inbound-port=15006",
            ])
            .arg("--exclude-inbound-ports=15020,15021")
            .output()
            .context("nsenter")?;
        ensure!(
            output.status.success(),
            "outrigger-proxy init: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(true)
    })
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
