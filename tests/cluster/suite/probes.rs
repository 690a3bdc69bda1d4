//! Probes and lifecycle hooks of every kind: the kubelet asks the proxy, the proxy asks the application.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::kubectl::{Namespace, eventually};
use crate::scene::{Scene, containers};

pub(crate) static SCENE: Scene = Scene::new("probes", PODS);

/// `well` has each kind of probe as each of startup, readiness and liveness probe, and a native sidecar of its own; `unwell`
/// is asked for what does not answer well; `witness` hears of the end of `well`.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: witness, labels: { app: witness } }
spec:
  terminationGracePeriodSeconds: 0
  containers: [{ name: app, image: "localhost/app:1" }]
---
apiVersion: v1
kind: Service
metadata: { name: witness }
spec:
  selector: { app: witness }
  ports: [{ name: http, port: 8000 }]
---
apiVersion: v1
kind: Pod
metadata: { name: well }
spec:
  initContainers:
    - name: side
      image: localhost/app:1
      restartPolicy: Always
      env: [{ name: PORT, value: "8500" }]
      ports: [{ name: web, containerPort: 8500 }, { name: secure, containerPort: 8501 }, { name: plain, containerPort: 8502 }]
      startupProbe: { periodSeconds: 1, httpGet: { port: web, path: /startup } }
      readinessProbe: { periodSeconds: 1, tcpSocket: { port: plain } }
      livenessProbe: { periodSeconds: 1, httpGet: { port: secure, path: /live, scheme: HTTPS } }
  containers:
    - name: a
      image: localhost/app:1
      env: [{ name: PORT, value: "8000" }, { name: WITNESS, value: "http://witness:8000/" }]
      ports: [{ name: web, containerPort: 8000 }, { name: secure, containerPort: 8001 }, { name: plain, containerPort: 8002 }]
      startupProbe:
        periodSeconds: 1
        httpGet:
          port: web
          path: /startup?from=kubelet
          httpHeaders: [{ name: Host, value: app.example }, { name: X-Probe, value: startup }]
      readinessProbe: { periodSeconds: 1, httpGet: { port: secure, path: /ready, scheme: HTTPS } }
      livenessProbe: { periodSeconds: 1, tcpSocket: { port: plain } }
      lifecycle:
        postStart: { httpGet: { port: web, path: /started } }
        preStop: { httpGet: { port: web, path: "/tell?stopping" } }
    - name: b
      image: localhost/app:1
      env: [{ name: PORT, value: "8010" }]
      ports: [{ name: web, containerPort: 8010 }]
      startupProbe: { periodSeconds: 1, grpc: { port: 8013 } }
      readinessProbe: { periodSeconds: 1, httpGet: { port: web, path: /ready } }
      livenessProbe: { periodSeconds: 1, exec: { command: [/app, check] } }
    - name: c
      image: localhost/app:1
      env: [{ name: PORT, value: "8020" }]
      startupProbe: { periodSeconds: 1, httpGet: { port: 8021, path: /startup, scheme: HTTPS } }
      readinessProbe: { periodSeconds: 1, tcpSocket: { port: 8022 } }
      livenessProbe: { periodSeconds: 1, grpc: { port: 8023, service: alive } }
    - name: d
      image: localhost/app:1
      env: [{ name: PORT, value: "8030" }]
      startupProbe: { periodSeconds: 1, tcpSocket: { port: 8032 } }
      readinessProbe: { periodSeconds: 1, grpc: { port: 8033, service: ready } }
      livenessProbe: { periodSeconds: 1, httpGet: { port: 8030, path: /live } }
    - name: e
      image: localhost/app:1
      env: [{ name: PORT, value: "8040" }]
      startupProbe: { periodSeconds: 1, exec: { command: [/app, check] } }
      readinessProbe: { periodSeconds: 1, exec: { command: [/app, check] } }
      livenessProbe: { periodSeconds: 1, httpGet: { port: 8041, path: /live, scheme: HTTPS } }
---
apiVersion: v1
kind: Pod
metadata: { name: unwell }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: http
      image: localhost/app:1
      readinessProbe: { periodSeconds: 1, httpGet: { port: 8000, path: /unwell } }
    - name: grpc
      image: localhost/app:1
      env: [{ name: PORT, value: "8010" }]
      readinessProbe: { periodSeconds: 1, grpc: { port: 8013, service: unwell } }
    - name: tcp
      image: localhost/app:1
      env: [{ name: PORT, value: "8020" }]
      readinessProbe: { periodSeconds: 1, tcpSocket: { port: 8029 } }
    - name: dies
      image: localhost/app:1
      env: [{ name: PORT, value: "8030" }]
      livenessProbe: { periodSeconds: 1, failureThreshold: 1, httpGet: { port: 8030, path: /unwell } }
"#;

const KINDS: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];
const NETWORK: [&str; 3] = ["httpGet", "tcpSocket", "grpc"];

/// The pod gets ready, each container was asked what its probes say, by its own pod, and the proxy has carried no
/// connection into the pod: the kubelet had no need of any port of the application.
pub(crate) fn answered() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.ready("well")?;
    let pod = namespace.object("pod/well")?;
    only_our_ports(&pod)?;

    for (container, expected) in [
        (
            "side",
            &["8500 http /startup", "8502 tcp", "8501 https /live"][..],
        ),
        (
            "a",
            &[
                "8000 http /startup?from=kubelet host=app.example probe=startup",
                "8001 https /ready",
                "8002 tcp",
                "8000 http /started",
            ],
        ),
        ("b", &["8013 grpc", "8010 http /ready"]),
        ("c", &["8021 https /startup", "8022 tcp", "8023 grpc alive"]),
        ("d", &["8032 tcp", "8033 grpc ready", "8030 http /live"]),
        ("e", &["8041 https /live"]),
    ] {
        asked(namespace, &pod, container, expected)?;
    }
    let carried = namespace.carried("well", "Inbound")?;
    ensure!(
        carried == 0.0,
        "{carried} connections came to the application's own ports"
    );
    Ok(())
}

/// Every probe and hook that needs the network names one of the proxy's two ports, those of the proxy itself included.
fn only_our_ports(pod: &Value) -> Result<()> {
    let mut found = 0;
    for (name, container) in [containers(pod, "initContainers"), containers(pod, "containers")].concat() {
        let probes = KINDS.map(|kind| &container[kind]);
        let hooks = ["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]);
        for asked in probes.into_iter().chain(hooks) {
            for how in NETWORK.iter().filter_map(|kind| asked.get(kind)) {
                found += 1;
                ensure!(
                    how["port"] == 15020 || how["port"] == 15021,
                    "container {name} is asked directly: {asked}"
                );
            }
        }
    }
    ensure!(found >= 17, "only {found} probes and hooks were found");
    Ok(())
}

/// Waits until a container has heard each line, its client's address left out, and fails when that was not the pod's own.
fn asked(namespace: &Namespace, pod: &Value, container: &str, expected: &[&str]) -> Result<()> {
    let name = pod["metadata"]["name"].as_str().context("a name")?;
    let own: Vec<_> = pod["status"]["podIPs"]
        .as_array()
        .context("addresses")?
        .iter()
        .collect();
    let own: Vec<_> = own.iter().filter_map(|address| address["ip"].as_str()).collect();
    for expected in expected {
        let (port, what) = expected.split_once(' ').context("a port")?;
        let described = format!("{container} was asked {expected:?}");
        eventually(&described, Duration::from_secs(20), || {
            let lines = namespace.heard(name, container)?;
            let mut clients = lines.iter().filter_map(|line| {
                let (client, rest) = line.strip_prefix(port)?.strip_prefix(' ')?.split_once(' ')?;
                (rest == what || rest.starts_with(&format!("{what} host="))).then_some(client)
            });
            clients.try_fold(false, |_, client| {
                let local = ["127.0.0.1", "::1"].contains(&client) || own.contains(&client);
                ensure!(local, "{container} was asked {expected:?} by {client}");
                Ok(true)
            })
        })?;
    }
    Ok(())
}

/// What is unwell stays unready or is started again, and the events say what the application answered.
pub(crate) fn refused() -> Result<()> {
    let namespace = SCENE.namespace()?;
    let pod = namespace.object("pod/unwell")?;
    only_probed_at(&pod)?;
    for (container, message) in [
        (
            "http",
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
        ),
        (
            "grpc",
            "Readiness probe failed: HTTP probe failed with statuscode: 5",
        ),
        (
            "tcp",
            "Readiness probe failed: HTTP probe failed with statuscode: 5",
        ),
        (
            "dies",
            "Liveness probe failed: HTTP probe failed with statuscode: 503",
        ),
    ] {
        let what = format!("an event of container {container}: {message}");
        eventually(&what, Duration::from_secs(60), || {
            let events = namespace.object("events")?;
            let mut events = events["items"].as_array().into_iter().flatten();
            Ok(events.any(|event| {
                let object = &event["involvedObject"];
                let place = format!("spec.containers{{{container}}}");
                object["name"] == "unwell"
                    && object["fieldPath"] == place.as_str()
                    && event["message"]
                        .as_str()
                        .is_some_and(|said| said.starts_with(message))
            }))
        })?;
    }
    eventually("container dies is started again", Duration::from_secs(60), || {
        let pod = namespace.object("pod/unwell")?;
        let statuses = pod["status"]["containerStatuses"]
            .as_array()
            .context("statuses")?;
        let count = |name: &str| statuses.iter().find(|status| status["name"] == name).cloned();
        for name in ["http", "grpc", "tcp"] {
            ensure!(
                count(name).context(name)?["ready"] == false,
                "container {name} is ready"
            );
        }
        Ok(count("dies").context("dies")?["restartCount"].as_u64() > Some(0))
    })?;
    namespace
        .kubectl(&["delete", "pod", "unwell", "--wait=false"])
        .map(drop)
}

fn only_probed_at(pod: &Value) -> Result<()> {
    for (name, container) in containers(pod, "containers") {
        let probes = KINDS.map(|kind| &container[kind]["httpGet"]["port"]);
        ensure!(
            probes.iter().any(|port| **port == 15020),
            "container {name} is asked directly: {container}"
        );
    }
    Ok(())
}

/// The kubelet's word before the end reaches the application, which can still call others then.
pub(crate) fn last_word() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.ready("well")?;
    namespace.ready("witness")?;
    namespace.kubectl(&["delete", "pod", "well", "--wait=false"])?;
    namespace.hears("witness", "app", "/?stopping")?;
    namespace
        .kubectl(&["wait", "--for=delete", "pod/well", "--timeout=60s"])
        .map(drop)
}
