//! What the other stories take for granted of the cluster, told first: when one of these fails, the mesh is not to blame.

use anyhow::{Result, ensure};

use crate::kubectl::{Namespace, manifest};

/// The walk-through's pods without a mesh: both versions answer behind the Service's name.
pub(crate) fn services() -> Result<()> {
    let namespace = Namespace::create("rig-services")?;
    namespace.kubectl(&[
        "apply",
        "-f",
        &manifest("helloworld.yaml"),
        "-f",
        &manifest("curl.yaml"),
    ])?;
    namespace.kubectl(&[
        "wait",
        "--for=condition=Available",
        "deployment",
        "--all",
        "--timeout=90s",
    ])?;

    // kube-proxy draws lots: with one connection for each request, 50 of them all but surely reach both versions.
    let requests = format!(
        "for i in $(seq 50); do curl -sS -m 5 {}; done",
        "helloworld.rig-services.svc.cluster.local:5000/hello"
    );
    let answers = namespace.kubectl(&[
        "exec",
        "deploy/curl-deploy",
        "--",
        "busybox",
        "sh",
        "-c",
        &requests,
    ])?;
    for version in ["v1", "v2"] {
        let expected = format!("Hello version: {version}, instance: helloworld-{version}-");
        ensure!(
            answers.lines().any(|line| line.starts_with(&expected)),
            "no answer of {version} in 50:\n{answers}"
        );
    }
    namespace.kubectl(&["logs", "deploy/helloworld-v1"])?;
    namespace.delete()
}

/// A sidecar that is an init container with `restartPolicy: Always` is there for the init containers after it, and a Job
/// does not wait for it to end.
pub(crate) fn native_sidecar() -> Result<()> {
    let namespace = Namespace::create("rig-sidecar")?;
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
      initContainers:
        - name: sidecar
          image: docker.io/istio/examples-helloworld-v1:1.0
          restartPolicy: Always
          startupProbe: { httpGet: { path: /health, port: 5000 }, periodSeconds: 1 }
        - name: before
          image: docker.io/curlimages/curl
          imagePullPolicy: IfNotPresent
          args: [-sSf, "http://localhost:5000/hello"]
      containers:
        - name: main
          image: docker.io/curlimages/curl
          imagePullPolicy: IfNotPresent
          args: [-sSf, "http://localhost:5000/hello"]
"#,
    )?;
    namespace.complete("once")?;
    for container in ["before", "main"] {
        let log = namespace.kubectl(&["logs", "job/once", "-c", container])?;
        ensure!(
            log.contains("Hello version: v1"),
            "container {container} got {log:?} from the sidecar"
        );
    }
    namespace.delete()
}

/// The product's image has what `outrigger-proxy init` runs, and the node's kernel takes its rules.
pub(crate) fn iptables() -> Result<()> {
    let namespace = Namespace::create("rig-iptables")?;
    let container = |name: &str, program: &str| {
        format!(
            r#"
        - name: {name}
          image: ghcr.io/outrigger-mesh/outrigger:{version}
          command: [/usr/sbin/{program}, -t, nat, -A, OUTPUT, -p, tcp, -j, REDIRECT, --to-ports, "15001"]
          securityContext: {{ runAsUser: 0, capabilities: {{ drop: [ALL], add: [NET_ADMIN, NET_RAW] }} }}"#,
            version = env!("CARGO_PKG_VERSION")
        )
    };
    let [nft, legacy] = [
        container("nft", "iptables-nft"),
        container("legacy", "iptables-legacy"),
    ];
    namespace.apply(&format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{ name: rules }}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      initContainers: {nft}{legacy}
      containers:
        - name: main
          image: docker.io/curlimages/curl
          imagePullPolicy: IfNotPresent
          args: [--version]
"#
    ))?;
    namespace.complete("rules")?;
    namespace.delete()
}
