//! Both kinds of sidecar through a pod's life: who starts before whom, and who outlives whom.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::kubectl::{Namespace, eventually};
use crate::scene::{Scene, containers, names};

pub(crate) static SCENE: Scene = Scene::new("sidecars", PODS);

/// Pods `native` and `classic`, which call `witness` before they start, when they start and at their end.
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
metadata: { name: client }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - { name: curl, image: docker.io/curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, 3650d] }
---
apiVersion: v1
kind: Service
metadata: { name: native }
spec:
  selector: { app: native }
  ports: [{ name: http, port: 8000 }]
---
apiVersion: v1
kind: Pod
metadata: { name: native, labels: { app: native }, annotations: { sidecar.istio.io/nativeSidecar: "true" } }
spec:
  initContainers:
    - name: before
      image: docker.io/curlimages/curl
      imagePullPolicy: IfNotPresent
      args: [-sSf, --retry, "30", --retry-delay, "1", --retry-all-errors, "http://witness:8000/before-native"]
  containers:
    - name: app
      image: localhost/app:1
      env:
        - { name: AT_START, value: "http://witness:8000/start-native" }
        - { name: AT_END, value: "http://witness:8000/end-native" }
---
apiVersion: v1
kind: Service
metadata: { name: classic }
spec:
  selector: { app: classic }
  ports: [{ name: http, port: 8000 }]
---
apiVersion: v1
kind: Pod
metadata: { name: classic, labels: { app: classic }, annotations: { sidecar.istio.io/nativeSidecar: "false" } }
spec:
  initContainers:
    - name: before
      image: docker.io/curlimages/curl
      imagePullPolicy: IfNotPresent
      args: [-sSf, --retry, "30", --retry-delay, "1", --retry-all-errors, "http://witness:8000/before-classic"]
  containers:
    - name: app
      image: localhost/app:1
      env:
        - { name: AT_START, value: "http://witness:8000/start-classic" }
        - { name: AT_END, value: "http://witness:8000/end-classic" }
"#;

/// The proxy is the first of the init containers that stay, and the pod's own init containers call through it.
pub(crate) fn native() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.ready("native")?;
    let pod = namespace.object("pod/native")?;
    let (init, own) = (names(&pod, "initContainers"), names(&pod, "containers"));
    ensure!(
        init == ["outrigger-init", "outrigger-proxy", "before"] && own == ["app"],
        "the containers are {init:?} and {own:?}"
    );
    started_once(namespace, &pod)?;
    let carried = namespace.carried("native", "Outbound")?;
    ensure!(carried >= 2.0, "the proxy carried {carried} calls, of two");
    ends(namespace, "native")
}

/// The pod's own init containers come first, with the network as it was; the proxy is the first of the containers, and
/// the next starts when it is ready.
pub(crate) fn classic() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.ready("classic")?;
    let pod = namespace.object("pod/classic")?;
    let (init, own) = (names(&pod, "initContainers"), names(&pod, "containers"));
    ensure!(
        init == ["before", "outrigger-init"] && own == ["outrigger-proxy", "app"],
        "the containers are {init:?} and {own:?}"
    );
    started_once(namespace, &pod)?;
    let carried = namespace.carried("classic", "Outbound")?;
    ensure!(carried == 1.0, "the proxy carried {carried} calls, of one");
    ends(namespace, "classic")
}

/// The application's first call, which it makes once and at once, was answered, and nothing had to start twice.
fn started_once(namespace: &Namespace, pod: &Value) -> Result<()> {
    let name = pod["metadata"]["name"].as_str().context("a name")?;
    namespace.hears(name, "app", "AT_START: 200")?;
    for what in ["before", "start"] {
        namespace.hears("witness", "app", &format!("/{what}-{name}"))?;
    }
    let status = &pod["status"];
    let statuses = [&status["initContainerStatuses"], &status["containerStatuses"]];
    for status in statuses.into_iter().filter_map(Value::as_array).flatten() {
        ensure!(
            status["restartCount"] == 0,
            "a container was started twice: {status}"
        );
    }
    ensure!(
        !containers(pod, "containers").is_empty(),
        "{name} has no containers"
    );
    Ok(())
}

/// A request that is in flight when the pod is deleted is answered, the application's last call is too, and the pod
/// ends as soon as both have, well before its grace is over.
fn ends(namespace: &Namespace, pod: &str) -> Result<()> {
    namespace.ready("client")?;
    // Into a file: under load, what a command prints gets lost on its way to kubectl now and then.
    let script = format!(
        "{{ curl -sS -m 20 -w '%{{http_code}}' 'http://{pod}:8000/slow?for=4s'; echo \" $?\"; }} >/tmp/{pod} 2>&1"
    );
    let mut request = Command::new("kubectl")
        .args([
            "-n",
            namespace.0,
            "exec",
            "client",
            "-c",
            "curl",
            "--",
            "sh",
            "-c",
            &script,
        ])
        .spawn()
        .context("kubectl exec")?;
    namespace.hears(pod, "app", "/slow")?;
    let since = Instant::now();
    namespace.kubectl(&["delete", "pod", pod, "--wait=false"])?;
    request.wait()?;
    let answer = namespace.shell("client", &format!("cat /tmp/{pod}"))?;
    ensure!(
        answer == "slow but well\n200 0\n",
        "the request in flight was answered {answer:?}"
    );
    let last = format!("/end-{pod}");
    namespace.hears("witness", "app", &last)?;
    namespace.kubectl(&["wait", "--for=delete", &format!("pod/{pod}"), "--timeout=60s"])?;
    let took = since.elapsed();
    ensure!(took < Duration::from_secs(20), "{pod} took {took:?} to end");
    Ok(())
}

/// A classic proxy ends when the Job says so, and with it the pod.
pub(crate) fn classic_job() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.apply(
        r#"
apiVersion: batch/v1
kind: Job
metadata: { name: classic }
spec:
  backoffLimit: 0
  template:
    metadata: { annotations: { sidecar.istio.io/nativeSidecar: "false" } }
    spec:
      restartPolicy: Never
      containers:
        - name: curl
          image: docker.io/curlimages/curl
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "curl -sSf --retry 9 --retry-all-errors http://witness:8000/job && curl -sSf -X POST http://127.0.0.1:15020/quitquitquit"]
"#,
    )?;
    namespace.complete("classic")?;
    namespace.hears("witness", "app", "/job")
}

/// Its Jobs have proxies and complete by themselves.
pub(crate) fn cron_job() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.apply(
        r#"
apiVersion: batch/v1
kind: CronJob
metadata: { name: nightly }
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: curl
              image: docker.io/curlimages/curl
              imagePullPolicy: IfNotPresent
              args: [-sSf, --retry, "9", --retry-all-errors, "http://witness:8000/nightly"]
"#,
    )?;
    namespace.kubectl(&["create", "job", "tonight", "--from=cronjob/nightly"])?;
    namespace.complete("tonight")?;
    namespace.hears("witness", "app", "/nightly")?;
    let pods = namespace.kubectl(&["get", "pods", "-l", "job-name=tonight", "-o", "name"])?;
    let pod = namespace.object(pods.trim())?;
    let init = names(&pod, "initContainers");
    ensure!(
        init == ["outrigger-init", "outrigger-proxy"],
        "the Job's pod has {init:?}"
    );
    Ok(())
}

/// Its pods keep their names and their order, and are called by them.
pub(crate) fn stateful_set() -> Result<()> {
    let namespace = SCENE.namespace()?;
    namespace.apply(
        r#"
apiVersion: v1
kind: Service
metadata: { name: members }
spec:
  clusterIP: None
  selector: { app: member }
  ports: [{ name: http, port: 8000 }]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: member }
spec:
  serviceName: members
  replicas: 2
  selector: { matchLabels: { app: member } }
  template:
    metadata: { labels: { app: member } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: app
          image: localhost/app:1
          readinessProbe: { periodSeconds: 1, httpGet: { port: 8000, path: /ready } }
"#,
    )?;
    namespace.kubectl(&["rollout", "status", "statefulset/member", "--timeout=120s"])?;
    namespace.ready("client")?;
    for member in ["member-0", "member-1"] {
        let host = format!("{member}.members.{}.svc.cluster.local", namespace.0);
        eventually(&format!("{host} answers"), Duration::from_secs(20), || {
            let answer = namespace.shell("client", &format!("curl -sS -m 5 http://{host}:8000/hello"))?;
            ensure!(answer.starts_with("your address is"), "the answer was {answer:?}");
            Ok(true)
        })?;
        namespace.hears(member, "app", "/hello")?;
        let pod = namespace.object(&format!("pod/{member}"))?;
        ensure!(
            names(&pod, "initContainers").contains(&"outrigger-proxy"),
            "{member} has no proxy"
        );
    }
    Ok(())
}
