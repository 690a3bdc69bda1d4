//! Calls that a proxy must not break: the corners of a pod's network.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::install::SYSTEM;
use crate::kubectl::{Namespace, all_ready, eventually, kubectl};
use crate::scene::Scene;

pub(crate) static SCENE: Scene = Scene::new("calls", PODS);

/// The namespace of these stories, with the walk-through's pods and those of `pods`, made by the first of them.
fn namespace() -> Result<&'static Namespace> {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    let namespace = SCENE.namespace()?;
    let ready = || {
        namespace.walkthrough()?;
        namespace.kubectl(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s"])
    };
    READY
        .get_or_init(|| ready().map(drop).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!("{error}"))?;
    Ok(namespace)
}

/// `own` is a server and its own client, `echo` sends back what it got once that has ended, and two pods are not in the
/// mesh, one of them because it is on the node's network.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: own, labels: { app: own } }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - { name: server, image: docker.io/istio/examples-helloworld-v1:1.0 }
    - { name: curl, image: docker.io/curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, 3650d] }
---
apiVersion: v1
kind: Service
metadata: { name: own }
spec:
  selector: { app: own }
  ports:
    - { name: http, port: 5000 }
    - { name: http-outbound, port: 15001, targetPort: 5000 }
    - { name: http-inbound, port: 15006, targetPort: 5000 }
    - { name: http-metrics, port: 15020, targetPort: 5000 }
---
apiVersion: v1
kind: Pod
metadata: { name: echo, labels: { app: echo } }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: curl
      image: docker.io/curlimages/curl
      imagePullPolicy: IfNotPresent
      command: [busybox, nc, -ll, -p, "9000", -e, sh, -c, "sent=$(cat); echo you sent: $sent"]
---
apiVersion: v1
kind: Service
metadata: { name: echo }
spec:
  selector: { app: echo }
  ports: [{ name: tcp-echo, port: 9000 }]
---
apiVersion: v1
kind: Pod
metadata: { name: alone, labels: { sidecar.istio.io/inject: "false" } }
spec:
  containers: [{ name: server, image: docker.io/istio/examples-helloworld-v1:1.0 }]
---
apiVersion: v1
kind: Pod
metadata: { name: on-the-node }
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers:
    - { name: curl, image: docker.io/curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, 3650d] }
---
apiVersion: v1
kind: Service
metadata: { name: partly }
spec:
  selector: { app: helloworld }
  ports: [{ name: http, port: 5000 }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: partly }
spec:
  hosts: [partly]
  http:
    - match: [{ uri: { prefix: /health } }]
      route: [{ destination: { host: partly, subset: v9 } }]
    - route: [{ destination: { host: partly } }]
"#;

/// A Job in the mesh ends when its own container has.
pub(crate) fn job() -> Result<()> {
    let namespace = namespace()?;
    namespace.apply(
        r#"
apiVersion: batch/v1
kind: Job
metadata: { name: once }
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: curl
          image: docker.io/curlimages/curl
          imagePullPolicy: IfNotPresent
          args: [-sSf, "http://helloworld:5000/hello"]
"#,
    )?;
    namespace.complete("once")?;
    let log = namespace.kubectl(&["logs", "job/once", "-c", "curl"])?;
    ensure!(
        log.starts_with("Hello version: v"),
        "the Job was answered {log:?}"
    );
    let sidecar = "jsonpath={.items[0].status.initContainerStatuses[?(@.name=='outrigger-proxy')].state.terminated.exitCode}";
    let code = namespace.kubectl(&["get", "pods", "-l", "job-name=once", "-o", sidecar])?;
    ensure!(code == "0", "the Job's proxy ended with {code:?}");
    Ok(())
}

/// Through the Service's address (by a name that the pod's own /etc/hosts does not have), its pod's own and loopback.
pub(crate) fn to_itself() -> Result<()> {
    let namespace = namespace()?;
    let address = address(namespace, "own")?;
    for host in ["own.calls", &address, "localhost"] {
        let answer = namespace.shell("own", &format!("curl -sS -m 5 http://{host}:5000/hello"))?;
        ensure!(answer.contains("instance: own"), "{host} answered {answer:?}");
    }
    Ok(())
}

/// Ports of a Service are the Service's own business, whichever they are.
pub(crate) fn to_our_ports() -> Result<()> {
    let namespace = namespace()?;
    for client in ["deploy/curl-deploy", "own"] {
        for port in [15001, 15006, 15020] {
            let answer = namespace.shell(client, &format!("curl -sS -m 5 http://own.calls:{port}/hello"))?;
            ensure!(
                answer.contains("instance: own"),
                "to {client}, port {port} answered {answer:?}"
            );
        }
    }
    Ok(())
}

/// Both captured ports, dialled from the pod itself and from another: refused, counted, and no connection begets others.
pub(crate) fn to_the_proxy() -> Result<()> {
    let namespace = namespace()?;
    let address = address(namespace, "own")?;
    for (client, target, direction) in [
        ("own", "127.0.0.1:15001", "Outbound"),
        ("own", &format!("{address}:15006"), "Inbound"),
        ("deploy/curl-deploy", &format!("{address}:15006"), "Inbound"),
    ] {
        let loops = format!("outrigger_connections_total{{direction=\"{direction}\",carried=\"Loop\"}}");
        let before = metric(namespace, "own", &loops)?;
        let dial =
            format!("curl -s -m 5 -o /dev/null -w '%{{exitcode}} %{{time_total}}' http://{target}/ || true");
        let ended = namespace.shell(client, &dial)?;
        let (code, seconds) = ended.split_once(' ').context("curl's two words")?;
        ensure!(code != "0", "{client} was answered by {target}");
        ensure!(seconds.parse::<f64>()? < 1.0, "{client} to {target}: {seconds} s");
        let counted = metric(namespace, "own", &loops)? - before;
        ensure!(counted == 1.0, "{client} to {target}: counted {counted} times");
    }
    eventually("no connection is left open", Duration::from_secs(5), || {
        // The one that asks for the metrics does not go through the proxy's captured ports.
        Ok(metric(namespace, "own", "outrigger_open_connections")? == 0.0)
    })
}

/// To a pod's own address, in the mesh or not, the proxy passes bytes on.
pub(crate) fn past_the_mesh() -> Result<()> {
    let namespace = namespace()?;
    let unknown = "outrigger_connections_total{direction=\"Outbound\",carried=\"Unknown\"}";
    for pod in ["alone", "own"] {
        let before = metric(namespace, "curl", unknown)?;
        let url = format!("http://{}:5000/hello", address(namespace, pod)?);
        let answer = namespace.shell("deploy/curl-deploy", &format!("curl -sS -m 5 {url}"))?;
        ensure!(
            answer.contains(&format!("instance: {pod}")),
            "{url} answered {answer:?}"
        );
        let counted = metric(namespace, "curl", unknown)? - before;
        ensure!(counted == 1.0, "the way to pod {pod} was counted {counted} times");
    }
    Ok(())
}

/// The server speaks only when the client has said its last word.
pub(crate) fn half_closed() -> Result<()> {
    let namespace = namespace()?;
    let tcp = "outrigger_connections_total{direction=\"Outbound\",carried=\"Tcp\"}";
    let before = metric(namespace, "curl", tcp)?;
    let answer = namespace.shell("deploy/curl-deploy", "echo one two | nc -w 5 echo 9000")?;
    ensure!(answer.trim() == "you sent: one two", "the answer was {answer:?}");
    let counted = metric(namespace, "curl", tcp)? - before;
    ensure!(counted == 1.0, "it was counted {counted} times as TCP");
    Ok(())
}

/// 503 that says what is missing, a warning for whoever runs the mesh, and the other routes go on.
pub(crate) fn to_a_missing_subset() -> Result<()> {
    let namespace = namespace()?;
    let ask = |path: &str| {
        let request = format!("curl -sS -m 5 -w ' %{{http_code}}' http://partly:5000{path}");
        namespace.shell("deploy/curl-deploy", &request)
    };
    eventually(
        "the route to a missing subset is known",
        Duration::from_secs(10),
        || {
            let answer = ask("/health")?;
            Ok(answer.contains("v9") && answer.ends_with(" 503"))
        },
    )?;
    let answer = ask("/hello")?;
    ensure!(
        answer.starts_with("Hello version: v") && answer.ends_with(" 200"),
        "the other route answered {answer:?}"
    );
    let pods = ["-l", "app.kubernetes.io/name=outrigger", "--tail=-1"];
    let log = kubectl(&[&["-n", SYSTEM, "logs"], &pods[..]].concat())?;
    let warned = |line: &str| {
        line.contains("WARN") && line.contains("VirtualService calls/partly") && line.contains("v9")
    };
    ensure!(
        log.lines().any(warned),
        "no warning of VirtualService calls/partly in:\n{log}"
    );
    Ok(())
}

/// A pod that says no, and one on the node's network, which must not be captured.
pub(crate) fn without_a_proxy() -> Result<()> {
    let pods = ["get", "pods", "alone", "on-the-node", "--no-headers"];
    all_ready(&namespace()?.kubectl(&pods)?, "1/1")
}

fn address(namespace: &Namespace, pod: &str) -> Result<String> {
    namespace.kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"])
}

/// A value of the metrics of the proxy beside container `curl` of a pod, or of the Deployment `curl-deploy`; what was
/// never counted is 0.
fn metric(namespace: &Namespace, pod: &str, name: &str) -> Result<f64> {
    let pod = if pod == "curl" { "deploy/curl-deploy" } else { pod };
    let metrics = namespace.shell(pod, "curl -sS -m 5 http://127.0.0.1:15020/metrics")?;
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.map_or(Ok(0.0), str::parse)?)
}
