//! Two control planes side by side: a canary upgrade, and the way back.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::install::{chart, helm, outrigger};
use crate::kubectl::{Namespace, kubectl};
use crate::walkthrough::{hello, in_turn};

const CANARY: &str = "canary";
const CANARY_NAMESPACE: &str = "revision-canary";
const VALUES: [&str; 2] = ["revision=canary", "crds.install=false"];

/// Installs the second control plane, once.
pub(crate) fn canary() -> Result<()> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    let install = || {
        outrigger()?;
        helm(&["uninstall", "outrigger-canary", "--ignore-not-found", "--wait"])?;
        with_values("install", &VALUES)
    };
    INSTALLED
        .get_or_init(|| install().map_err(|error: anyhow::Error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!("the canary could not be installed: {error}"))
}

/// Has the canary expect that something else sets up the redirection of its pods.
pub(crate) fn canary_without_init() -> Result<()> {
    canary()?;
    with_values("upgrade", &[&VALUES[..], &["proxy.capture=external"]].concat())
}

fn with_values(what: &str, values: &[&str]) -> Result<()> {
    let set = values.iter().flat_map(|value| ["--set", value]);
    let flags: Vec<_> = set.chain(["--wait", "--timeout=120s"]).collect();
    chart(what, "outrigger-canary", &flags)
}

/// The labels of a new pod of a namespace's Deployment say which control plane served it, and each serves its own.
pub(crate) fn side_by_side() -> Result<()> {
    canary()?;
    let [ours, theirs] = ["revision-default", CANARY_NAMESPACE].map(Namespace::create);
    let (ours, theirs) = (ours?, theirs?);
    kubectl(&["label", "namespace", ours.0, "istio-injection=enabled"])?;
    kubectl(&["label", "namespace", theirs.0, "istio.io/rev=canary"])?;
    for namespace in [&ours, &theirs] {
        namespace.walkthrough()?;
    }
    served_by(&ours, "outrigger")?;
    served_by(&theirs, CANARY)?;
    in_turn(&hello(&ours, "curl-deploy", 4)?)?;
    in_turn(&hello(&theirs, "curl-deploy", 4)?)
}

/// A label and a restart: the namespace's pods are the canary's, and back again they are not.
pub(crate) fn moved() -> Result<()> {
    canary()?;
    let namespace = Namespace("revision-default");
    for (labels, revision) in [
        (["istio-injection-", "istio.io/rev=canary"], CANARY),
        (["istio-injection=enabled", "istio.io/rev-"], "outrigger"),
    ] {
        kubectl(&[&["label", "namespace", namespace.0][..], &labels].concat())?;
        namespace.kubectl(&["rollout", "restart", "deployment"])?;
        for deployment in ["helloworld-v1", "helloworld-v2", "curl-deploy", "curl-deploy1"] {
            let deployment = format!("deployment/{deployment}");
            namespace.kubectl(&["rollout", "status", &deployment, "--timeout=90s"])?;
        }
        served_by(&namespace, revision)?;
        in_turn(&hello(&namespace, "curl-deploy", 4)?)?;
    }
    Ok(())
}

/// The canary goes, with all that is its own; pods of the default are created and call as before.
pub(crate) fn canary_gone() -> Result<()> {
    canary()?;
    helm(&["uninstall", "outrigger-canary", "--wait", "--timeout=60s"])?;
    let webhooks = kubectl(&["get", "mutatingwebhookconfigurations", "-o", "name"])?;
    ensure!(
        webhooks.contains("outrigger-sidecar-injector\n") && !webhooks.contains(CANARY),
        "the webhook configurations are\n{webhooks}"
    );
    let namespace = Namespace("revision-default");
    namespace.kubectl(&["rollout", "restart", "deployment"])?;
    for deployment in ["helloworld-v1", "helloworld-v2", "curl-deploy", "curl-deploy1"] {
        let deployment = format!("deployment/{deployment}");
        namespace.kubectl(&["rollout", "status", &deployment, "--timeout=90s"])?;
    }
    served_by(&namespace, "outrigger")?;
    in_turn(&hello(&namespace, "curl-deploy", 4)?)?;
    namespace.delete()?;
    Namespace(CANARY_NAMESPACE).delete()
}

/// Fails unless every pod that is not on its way out was injected by a revision.
fn served_by(namespace: &Namespace, revision: &str) -> Result<()> {
    let pods = namespace.object("pods")?;
    let pods = pods["items"].as_array().context("pods")?;
    let staying = pods
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let mut count = 0;
    for pod in staying {
        let status = &pod["metadata"]["annotations"]["outrigger.dev/status"];
        let status: Value = serde_json::from_str(status.as_str().unwrap_or("{}"))?;
        ensure!(
            status["revision"] == revision,
            "pod {} was injected by {} and not {revision}",
            pod["metadata"]["name"],
            status["revision"]
        );
        count += 1;
    }
    ensure!(count >= 4, "only {count} pods in {}", namespace.0);
    Ok(())
}
