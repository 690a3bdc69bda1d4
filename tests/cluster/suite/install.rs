//! The installation, as the README has it. Every story of the mesh calls `outrigger` first, which installs it once.

use std::sync::OnceLock;

use anyhow::{Result, anyhow, ensure};

use crate::kubectl::{eventually, kubectl, run};
use std::time::Duration;

/// The control plane's namespace.
pub(crate) const SYSTEM: &str = "outrigger-system";
/// The object in which the API server finds the webhook.
pub(crate) const WEBHOOK: &str = "mutatingwebhookconfiguration/outrigger-sidecar-injector";

/// Installs Outrigger, unless this run of the suite has: always anew, so that it is what was just built.
pub(crate) fn outrigger() -> Result<()> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| fresh().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!("Outrigger could not be installed: {error}"))
}

fn fresh() -> Result<()> {
    helm(&["uninstall", "outrigger", "--ignore-not-found", "--wait"])?;
    // The strictest level that Kubernetes has, before anything is in there.
    if kubectl(&["get", "namespace", SYSTEM]).is_err() {
        kubectl(&["create", "namespace", SYSTEM])?;
    }
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "--overwrite", "namespace", SYSTEM, restricted])?;
    chart(
        "install",
        "outrigger",
        &["--create-namespace", "--wait", "--timeout=120s"],
    )
}

/// `helm ARGUMENTS` for the control plane's namespace.
pub(crate) fn helm(arguments: &[&str]) -> Result<String> {
    run("helm", &[&["-n", SYSTEM], arguments].concat(), "")
}

/// Installs or upgrades with the chart of the working tree, and the values that `run --set` was given.
pub(crate) fn chart(what: &str, release: &str, flags: &[&str]) -> Result<()> {
    let chart = format!("{}/charts/outrigger", env!("CARGO_MANIFEST_DIR"));
    let values = std::env::var("OUTRIGGER_HELM_VALUES").unwrap_or_default();
    let mut arguments = vec![what, release, &chart];
    arguments.extend(flags);
    arguments.extend(values.lines().flat_map(|value| ["--set", value]));
    helm(&arguments).map(drop)
}

/// Two ready replicas under restricted Pod Security, `helm test`, and an upgrade during which the API server never
/// stops trusting the webhook.
pub(crate) fn install() -> Result<()> {
    outrigger()?;
    let ready = "jsonpath={.status.readyReplicas} of {.spec.replicas}";
    let ready = kubectl(&["-n", SYSTEM, "get", "deployment", "outrigger", "-o", ready])?;
    ensure!(ready == "2 of 2", "replicas that are ready: {ready}");
    helm(&["test", "outrigger", "--timeout=60s"])?;

    let before = ca_bundles()?;
    ensure!(
        before.len() == 4 && before.iter().all(|bundle| !bundle.is_empty()),
        "a webhook without caBundle: {before:?}"
    );
    chart("upgrade", "outrigger", &["--wait", "--timeout=120s"])?;
    let after = ca_bundles()?;
    ensure!(before == after, "the upgrade changed the caBundles to {after:?}");

    // The proxies' way to the control plane, in every namespace that may have some, and in no other.
    eventually("a CA for namespace default", Duration::from_secs(10), || {
        Ok(kubectl(&["-n", "default", "get", "configmap", "outrigger-ca-root"]).is_ok())
    })?;
    let ignored = kubectl(&["-n", "kube-system", "get", "configmap", "outrigger-ca-root"]);
    ensure!(ignored.is_err(), "kube-system has a ConfigMap outrigger-ca-root");
    Ok(())
}

/// The caBundle of each webhook, in Base64.
pub(crate) fn ca_bundles() -> Result<Vec<String>> {
    let bundles = "jsonpath={range .webhooks[*]}{.clientConfig.caBundle}{\"\\n\"}{end}";
    let bundles = kubectl(&["get", WEBHOOK, "-o", bundles])?;
    Ok(bundles.lines().map(str::to_owned).collect())
}
