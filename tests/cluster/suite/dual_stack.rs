//! IPv6, where the cluster has it: captured, routed and answered as IPv4 is.

use anyhow::{Context, Result, ensure};

use crate::scene::Scene;

pub(crate) static SCENE: Scene = Scene::new("dual-stack", PODS);

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: server, labels: { app: server } }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: app
      image: localhost/app:1
      readinessProbe: { periodSeconds: 1, httpGet: { port: 8000, path: /ready } }
---
apiVersion: v1
kind: Pod
metadata: { name: client }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - { name: curl, image: docker.io/curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, 3650d] }
"#;

/// A Service that has an IPv6 address alone, and its pod by its own.
pub(crate) fn ipv6() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.ready("server")?;
    namespace.ready("client")?;
    let addresses = ["get", "pod", "server", "-o", "jsonpath={.status.podIPs[*].ip}"];
    let addresses = namespace.kubectl(&addresses)?;
    let Some(address) = addresses.split(' ').find(|address| address.contains(':')) else {
        println!("    this cluster's pods have no IPv6: {addresses}");
        return Ok(());
    };
    namespace.apply(
        r#"
apiVersion: v1
kind: Service
metadata: { name: six }
spec:
  ipFamilyPolicy: SingleStack
  ipFamilies: [IPv6]
  selector: { app: server }
  ports: [{ name: http, port: 8000 }]
"#,
    )?;
    let carried = |pod: &str, direction: &str| namespace.carried(pod, direction);
    for (target, carried_as) in [("six:8000", "Http"), (&format!("[{address}]:8000"), "Unknown")] {
        let before = (carried("client", "Outbound")?, carried("server", "Inbound")?);
        let ask = format!(
            "curl -sS -m 5 --retry 5 --retry-delay 1 --retry-all-errors -w '%{{remote_ip}}' 'http://{target}/six'"
        );
        let answer = namespace.shell("client", &ask)?;
        let (said, remote) = answer.rsplit_once('\n').context("two lines")?;
        ensure!(
            said.starts_with("your address is") && remote.contains(':'),
            "{target} answered {answer:?}"
        );
        let after = (carried("client", "Outbound")?, carried("server", "Inbound")?);
        ensure!(
            after.0 > before.0 && after.1 > before.1,
            "{target} was carried past the proxies: {before:?}, {after:?}"
        );
        let name = format!("outrigger_connections_total{{direction=\"Outbound\",carried=\"{carried_as}\"}}");
        ensure!(
            namespace.metrics("client")?.contains(&name),
            "{target} was not carried as {carried_as}"
        );
    }
    Ok(())
}
