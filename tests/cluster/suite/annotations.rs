//! A pod's own settings, by what they do to its traffic and to its containers.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::scene::{Scene, containers};

pub(crate) static SCENE: Scene = Scene::new("annotations", PODS);

/// Servers of which some ports are not captured, and one with metrics of its own.
const PODS: &str = r#"
apiVersion: v1
kind: Service
metadata: { name: server }
spec:
  selector: { app: server }
  ports: [{ name: http, port: 8000 }, { name: http-other, port: 8004 }]
---
apiVersion: v1
kind: Pod
metadata:
  name: server
  labels: { app: server }
  annotations: { traffic.sidecar.istio.io/excludeInboundPorts: "8004" }
spec:
  terminationGracePeriodSeconds: 0
  containers: [{ name: app, image: "localhost/app:1" }]
---
apiVersion: v1
kind: Pod
metadata:
  name: one-port
  annotations: { traffic.sidecar.istio.io/includeInboundPorts: "8000" }
spec:
  terminationGracePeriodSeconds: 0
  containers: [{ name: app, image: "localhost/app:1" }]
---
apiVersion: v1
kind: Pod
metadata:
  name: counted
  annotations: { prometheus.io/scrape: "true", prometheus.io/port: "8000", prometheus.io/path: /metrics }
spec:
  terminationGracePeriodSeconds: 0
  containers: [{ name: app, image: "localhost/app:1" }]
---
apiVersion: v1
kind: Pod
metadata:
  name: furnished
  annotations:
    sidecar.istio.io/userVolume: '[{"name": "extra", "emptyDir": {}}]'
    sidecar.istio.io/userVolumeMount: '[{"name": "extra", "mountPath": "/extra"}]'
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: outrigger-proxy
      image: auto
      env: [{ name: EXTRA, value: "by hand" }]
      resources: { requests: { cpu: 77m } }
    - { name: app, image: "localhost/app:1" }
"#;

const TRAFFIC: &str = "traffic.sidecar.istio.io";
const SIDECAR: &str = "sidecar.istio.io";

/// Clients of each setting call both ports of the server's Service and the server's own address; what their proxies carry
/// is what is captured.
pub(crate) fn outbound() -> Result<()> {
    let namespace = SCENE.namespace()?;
    let service = namespace.kubectl(&["get", "service", "server", "-o", "jsonpath={.spec.clusterIP}"])?;
    let only_service = format!("{service}/32");
    let clients = [
        captures("all", &[], [true, true, true]),
        captures(
            "exclude-ports",
            &[("excludeOutboundPorts", "8004")],
            [true, false, true],
        ),
        captures(
            "include-ranges",
            &[("includeOutboundIPRanges", &only_service)],
            [true, true, false],
        ),
        captures(
            "exclude-ranges",
            &[("excludeOutboundIPRanges", &only_service)],
            [false, false, true],
        ),
        captures(
            "include-ports",
            &[("includeOutboundIPRanges", ""), ("includeOutboundPorts", "8004")],
            [false, true, false],
        ),
        captures(
            "exclude-interface",
            &[("excludeInterfaces", "eth0")],
            [false, false, false],
        ),
    ];
    for client in &clients {
        namespace.apply(&client.pod)?;
    }
    namespace.ready("server")?;
    let server = namespace.kubectl(&["get", "pod", "server", "-o", "jsonpath={.status.podIP}"])?;
    let targets = [
        "server:8000".to_owned(),
        "server:8004".to_owned(),
        format!("{server}:8000"),
    ];
    for Client { name, captured, .. } in &clients {
        namespace.ready(name)?;
        for (target, expected) in targets.iter().zip(captured) {
            let before = namespace.carried(name, "Outbound")?;
            let answer = namespace.shell(name, &format!("curl -sS -m 5 http://{target}/from-{name}"))?;
            ensure!(
                answer.starts_with("your address is"),
                "{name} to {target}: {answer:?}"
            );
            let captured = namespace.carried(name, "Outbound")? - before;
            ensure!(
                captured == f64::from(u8::from(*expected)),
                "{name} to {target}: its proxy carried {captured} connections"
            );
        }
    }
    Ok(())
}

/// A pod, and whether a call to port 8000, to port 8004 and to the server's own address is captured.
struct Client {
    name: &'static str,
    pod: String,
    captured: [bool; 3],
}

fn captures(name: &'static str, annotations: &[(&str, &str)], captured: [bool; 3]) -> Client {
    let pod = client(name, annotations);
    Client { name, pod, captured }
}

fn client(name: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: serde_json::Map<_, _> = annotations
        .iter()
        .map(|(key, value)| (format!("{TRAFFIC}/{key}"), json!(value)))
        .collect();
    let curl = json!({
        "name": "curl", "image": "docker.io/curlimages/curl", "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sleep", "3650d"],
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [curl]},
    })
    .to_string()
}

/// A connection that the server's proxy carries comes to the application from its own pod; one that is not captured
/// comes from the client's address.
pub(crate) fn inbound() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.apply(&client("caller", &[]))?;
    namespace.ready("caller")?;
    let address = |pod: &str| namespace.kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
    let caller = address("caller")?;
    for server in ["server", "one-port"] {
        namespace.ready(server)?;
        for (port, captured) in [(8000, true), (8004, false)] {
            let ask = format!("curl -sS -m 5 http://{}:{port}/who", address(server)?);
            let answer = namespace.shell("caller", &ask)?;
            let direct = answer.trim() == format!("your address is {caller}");
            ensure!(
                answer.starts_with("your address is") && direct != captured,
                "{server} port {port} said {answer:?} to {caller}"
            );
        }
    }
    Ok(())
}

/// Each is refused with the annotation's name and value, by the API server's own answer.
pub(crate) fn refused() -> Result<()> {
    let namespace = SCENE.namespace()?;
    for (annotation, value) in [
        (format!("{TRAFFIC}/excludeOutboundPorts"), "http"),
        (format!("{TRAFFIC}/excludeInboundPorts"), "99999"),
        (format!("{TRAFFIC}/includeInboundPorts"), "80;443"),
        (format!("{TRAFFIC}/includeOutboundPorts"), "-1"),
        (format!("{TRAFFIC}/includeOutboundIPRanges"), "10.0.0.0/33"),
        (format!("{TRAFFIC}/excludeOutboundIPRanges"), "example.org"),
        (format!("{TRAFFIC}/excludeInterfaces"), "eth0; reboot"),
        (format!("{SIDECAR}/proxyCPU"), "many"),
        (format!("{SIDECAR}/proxyMemoryLimit"), "1 GB"),
        (format!("{SIDECAR}/interceptionMode"), "TPROXY"),
        (format!("{SIDECAR}/nativeSidecar"), "perhaps"),
        (format!("{SIDECAR}/rewriteAppHTTPProbers"), "rarely"),
        (format!("{SIDECAR}/userVolume"), "[{"),
    ] {
        let pod = plain(json!({&annotation: value}));
        let refusal = namespace
            .dry_run(&pod)
            .err()
            .with_context(|| format!("{annotation}: {value} was accepted"))?
            .to_string();
        ensure!(
            refusal.contains(&annotation) && refusal.contains(value),
            "the refusal of {annotation}: {value} does not name both: {refusal}"
        );
    }
    Ok(())
}

/// Each setting of the proxy's resources replaces that one, and the others stay as they are without it.
pub(crate) fn resources() -> Result<()> {
    let namespace = SCENE.namespace()?;
    let resources = |annotations: Value| -> Result<Value> {
        let pod = namespace.dry_run(&plain(annotations))?;
        let all = containers(&pod, "initContainers");
        let proxy = all.iter().find(|(name, _)| *name == "outrigger-proxy");
        Ok(proxy.context("no proxy")?.1["resources"].clone())
    };
    let usual = resources(json!({}))?;
    for (annotation, kind, resource, value) in [
        ("proxyCPU", "requests", "cpu", "123m"),
        ("proxyMemory", "requests", "memory", "45Mi"),
        ("proxyCPULimit", "limits", "cpu", "2"),
        ("proxyMemoryLimit", "limits", "memory", "345Mi"),
    ] {
        let mut expected = usual.clone();
        expected[kind][resource] = value.into();
        let found = resources(json!({format!("{SIDECAR}/{annotation}"): value}))?;
        ensure!(
            found == expected,
            "{annotation}: {value} makes {found} of {usual}"
        );
    }
    Ok(())
}

fn plain(annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain", "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "localhost/app:1"}]},
    })
}

/// The author's own words about the proxy's container, and a volume for it: merged, and it runs with them.
pub(crate) fn furnished() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.ready("furnished")?;
    let pod = namespace.object("pod/furnished")?;
    let all = [containers(&pod, "initContainers"), containers(&pod, "containers")].concat();
    let proxies: Vec<_> = all
        .iter()
        .filter(|(name, _)| *name == "outrigger-proxy")
        .collect();
    ensure!(proxies.len() == 1, "there are {} proxies", proxies.len());
    let proxy = proxies[0].1;
    let has = |field: &str, key: &str, value: &str| {
        let list = proxy[field].as_array().into_iter().flatten();
        list.filter(|item| item[key] == value).count() == 1
    };
    ensure!(
        has("env", "name", "EXTRA")
            && has("env", "name", "OUTRIGGER_DISCOVERY_ADDRESS")
            && has("volumeMounts", "mountPath", "/extra")
            && proxy["resources"]["requests"]["cpu"] == "77m"
            && proxy["image"] != "auto",
        "what was declared was not merged: {proxy}"
    );
    Ok(())
}

/// One scrape of the proxy's port has the proxy's metrics and the application's, and the annotations lead there.
pub(crate) fn scraped() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.ready("counted")?;
    let pod = namespace.object("pod/counted")?;
    let annotations = &pod["metadata"]["annotations"];
    for (key, value) in [
        ("scrape", "true"),
        ("port", "15020"),
        ("path", "/stats/prometheus"),
    ] {
        let found = &annotations[format!("prometheus.io/{key}")];
        ensure!(found == value, "prometheus.io/{key} is {found}");
    }
    let metrics = namespace.metrics("counted")?;
    for name in ["app_requests_total", "outrigger_open_connections"] {
        ensure!(
            metrics.lines().any(|line| line.starts_with(name)),
            "{name} is not in\n{metrics}"
        );
    }
    Ok(())
}
