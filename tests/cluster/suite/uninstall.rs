//! The end: Outrigger goes, and nobody is held up by it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};

use crate::install::{helm, outrigger};
use crate::kubectl::{Namespace, all_ready, eventually, kubectl, manifest};
use crate::walkthrough::{followed, hello, in_turn, only};

/// Pods are created all the while. The CA goes from every namespace; the rules stay, and proxies that run follow them.
pub(crate) fn uninstall() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::injected("uninstall")?;
    namespace.walkthrough()?;
    namespace.kubectl(&["apply", "-f", &manifest("rules.yaml")])?;
    followed(&namespace)?;

    let helm = std::thread::spawn(|| helm(&["uninstall", "outrigger", "--wait", "--timeout=60s"]));
    let created = while_running(&namespace, || helm.is_finished())?;
    helm.join().expect("helm's thread does not panic")?;
    println!("    {created} pods admitted while it was uninstalled");

    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: { name: after }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - { name: curl, image: docker.io/curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, 3650d] }
"#,
    )?;
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/after", "--timeout=60s"])?;
    all_ready(
        &namespace.kubectl(&["get", "pods", "--no-headers", "after"])?,
        "1/1",
    )?;

    only("v1", &hello(&namespace, "curl-deploy", 4)?)?;
    in_turn(&hello(&namespace, "curl-deploy1", 4)?)?;
    let rules = namespace.kubectl(&["get", "virtualservices,destinationrules", "-o", "name"])?;
    ensure!(
        rules.lines().count() == 2,
        "of the two rules there are left: {rules:?}"
    );
    eventually(
        "no ConfigMap outrigger-ca-root is left",
        Duration::from_secs(60),
        || {
            let named = "--field-selector=metadata.name=outrigger-ca-root";
            Ok(kubectl(&["get", "configmaps", "-A", named, "-o", "name"])?.is_empty())
        },
    )?;
    namespace.delete()
}

/// Has pods admitted, one after another and without keeping them, until `ended`; fails with the first that is refused.
fn while_running(namespace: &Namespace, ended: impl Fn() -> bool) -> Result<usize> {
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"generateName": "during-"},
        "spec": {"containers": [{"name": "curl", "image": "docker.io/curlimages/curl"}]},
    }))?;
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = kube::Client::try_default().await.context("the current context")?;
        let pods = Api::<Pod>::namespaced(client, namespace.0);
        let mut created = 0;
        while !ended() {
            let one = pods.create(&parameters, &pod).await;
            one.with_context(|| format!("a pod was refused after {created} others"))?;
            created += 1;
        }
        Ok(created)
    })
}
