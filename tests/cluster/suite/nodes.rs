//! Two nodes in two zones of one region: who is asked when somebody near is there, when nobody is, and when a node is lost.
//! The pods say which node they are on, as if it were their version.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::install::outrigger;
use crate::kubectl::{Namespace, eventually, kubectl};
use crate::scene::Scene;
use crate::traffic::Traffic;

pub(crate) static SCENE: Scene = Scene::new("nodes", PODS);

/// Two servers and a client on each node.
const PODS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: near }
spec:
  replicas: 2
  selector: { matchLabels: { app: hello, node: node-1 } }
  template:
    metadata: { labels: { app: hello, node: node-1 } }
    spec:
      nodeSelector: { kubernetes.io/hostname: node-1 }
      containers:
        - name: hello
          image: docker.io/istio/examples-helloworld-v1:1.0
          env: [{ name: SERVICE_VERSION, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }]
          readinessProbe: { periodSeconds: 1, httpGet: { port: 5000, path: /health } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: far }
spec:
  replicas: 2
  selector: { matchLabels: { app: hello, node: node-2 } }
  template:
    metadata: { labels: { app: hello, node: node-2 } }
    spec:
      nodeSelector: { kubernetes.io/hostname: node-2 }
      containers:
        - name: hello
          image: docker.io/istio/examples-helloworld-v1:1.0
          env: [{ name: SERVICE_VERSION, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }]
          readinessProbe: { periodSeconds: 1, httpGet: { port: 5000, path: /health } }
---
apiVersion: v1
kind: Pod
metadata: { name: client-1 }
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: { kubernetes.io/hostname: node-1 }
  containers:
    - { name: curl, image: docker.io/curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, 3650d] }
---
apiVersion: v1
kind: Pod
metadata: { name: client-2 }
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: { kubernetes.io/hostname: node-2 }
  containers:
    - { name: curl, image: docker.io/curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, 3650d] }
"#;

/// The namespace, once its pods are ready.
fn ready() -> Result<&'static Namespace> {
    kubectl(&["get", "nodes", "node-1", "node-2"])?;
    let namespace = SCENE.namespace()?;
    namespace.available()?;
    namespace.ready("client-1")?;
    namespace.ready("client-2")?;
    Ok(namespace)
}

/// A Service of the servers, with what is said of it beside its port.
fn service(namespace: &Namespace, name: &str, selector: &str, more: &str) -> Result<()> {
    namespace.apply(&format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{ name: {name} }}
spec:
  selector: {{ {selector} }}
  ports: [{{ name: http, port: 5000 }}]
  {more}
"#
    ))
}

/// For each outcome of some requests, which is the node or the status, how often.
fn ask(
    namespace: &Namespace,
    client: &str,
    service: &str,
    requests: usize,
) -> Result<BTreeMap<String, usize>> {
    let script = format!(
        "curl -s -m 10 -o /dev/null -w '%{{http_code}} %header{{x-version}}\\n' 'http://{service}:5000/hello?[1-{requests}]'"
    );
    let mut counts = BTreeMap::new();
    for line in namespace.shell(client, &script)?.lines() {
        let outcome = line.strip_prefix("200 ").unwrap_or(line).trim();
        *counts.entry(outcome.to_owned()).or_insert(0) += 1;
    }
    Ok(counts)
}

/// Fails unless each of many requests has the expected outcome. What has just been created may take a moment.
fn always(namespace: &Namespace, client: &str, service: &str, expected: &str) -> Result<()> {
    let only = |requests: usize| -> Result<bool> {
        let counts = ask(namespace, client, service, requests)?;
        ensure!(
            counts.get(expected) == Some(&requests),
            "{client} asks {service}, which should be {expected}: {counts:?}"
        );
        Ok(true)
    };
    eventually("rules are followed", Duration::from_secs(20), || only(4))?;
    only(40).map(drop)
}

/// `internalTrafficPolicy: Local`: a node's clients ask its own pods, and nobody where there are none.
pub(crate) fn local() -> Result<()> {
    let namespace = ready()?;
    service(namespace, "local", "app: hello", "internalTrafficPolicy: Local")?;
    service(
        namespace,
        "local-far",
        "node: node-2",
        "internalTrafficPolicy: Local",
    )?;
    always(namespace, "client-1", "local", "node-1")?;
    always(namespace, "client-2", "local", "node-2")?;
    always(namespace, "client-2", "local-far", "node-2")?;
    always(namespace, "client-1", "local-far", "503")
}

/// `trafficDistribution: PreferClose`: a zone's clients ask its pods, and others where there are none.
pub(crate) fn close() -> Result<()> {
    let namespace = ready()?;
    service(
        namespace,
        "close",
        "app: hello",
        "trafficDistribution: PreferClose",
    )?;
    service(
        namespace,
        "close-far",
        "node: node-2",
        "trafficDistribution: PreferClose",
    )?;
    always(namespace, "client-1", "close", "node-1")?;
    always(namespace, "client-2", "close", "node-2")?;
    always(namespace, "client-1", "close-far", "node-2")
}

/// A DestinationRule's failover: all is near; when what is near ends, what is far takes over, and gives back.
pub(crate) fn failover() -> Result<()> {
    let namespace = ready()?;
    namespace.apply(
        r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: failover }
spec:
  host: failover
  trafficPolicy:
    loadBalancer:
      localityLbSetting: { failoverPriority: [topology.kubernetes.io/region, topology.kubernetes.io/zone] }
    outlierDetection: { consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 5s }
"#,
    )?;
    service(namespace, "failover", "app: hello", "")?;
    always(namespace, "client-1", "failover", "node-1")?;
    always(namespace, "client-2", "failover", "node-2")?;
    let traffic = Traffic::between(namespace, &[("client-1", "failover")])?;
    always(namespace, "client-1", "failover", "node-1")?;
    let scaled = Instant::now();
    namespace.kubectl(&["scale", "deployment/near", "--replicas=0"])?;
    always(namespace, "client-1", "failover", "node-2")?;
    let returned = Instant::now();
    namespace.kubectl(&["scale", "deployment/near", "--replicas=2"])?;
    namespace.available()?;
    always(namespace, "client-1", "failover", "node-1")?;
    let answers = traffic.stop()?;
    let count = |node: &str, from: Option<Instant>, to: Option<Instant>| {
        let counted = answers.0.iter().filter(|answer| {
            answer.version == node
                && from.is_none_or(|from| answer.at >= from)
                && to.is_none_or(|to| answer.at < to)
        });
        counted.count()
    };
    println!(
        "    answers: {answers}; of those near {}, far while near ones were gone {}",
        count("node-1", None, None),
        count("node-2", Some(scaled), Some(returned))
    );
    answers.all_well(100)?;
    let strayed = count("node-2", None, Some(scaled));
    ensure!(strayed == 0, "{strayed} answers came from afar before");
    Ok(())
}

/// Of both Services: both nodes' pods are used alike, a try takes half a second at most, and who does not answer twice is
/// not asked for a while.
fn lost_rules(service: &str, retry_on: &str) -> String {
    format!(
        r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: {service} }}
spec:
  hosts: [{service}]
  http:
    - route: [{{ destination: {{ host: {service} }} }}]
      retries: {{ attempts: 3, perTryTimeout: 500ms, retryOn: "{retry_on}" }}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{ name: {service} }}
spec:
  host: {service}
  trafficPolicy:
    connectionPool: {{ tcp: {{ connectTimeout: 300ms }} }}
    loadBalancer: {{ localityLbSetting: {{ enabled: false }} }}
    outlierDetection: {{ consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 10s, maxEjectionPercent: 50 }}
"#
    )
}

/// How long the node is lost: less than it takes Kubernetes to notice, and than anybody is ejected for.
const LOST: Duration = Duration::from_secs(8);

/// Both kinds of policies that Istio's documentation has for it; a client for each on the first node.
const POLICIES: [(&str, &str, &str); 2] = [
    ("client-1", "named", "connect-failure,reset,gateway-error"),
    ("client-3", "any", "5xx"),
];

/// A node's link is cut: what is sent there vanishes, and nobody is told. No request fails that may be tried again, soon none
/// is slow, and when the link is back the node is used again.
pub(crate) fn lost() -> Result<()> {
    outrigger()?;
    kubectl(&["get", "nodes", "node-1", "node-2"])?;
    let namespace = Namespace::injected("node-lost")?;
    namespace.apply(PODS)?;
    let client = PODS.split("---").find(|pod| pod.contains("client-1"));
    namespace.apply(&client.unwrap_or_default().replace("client-1", "client-3"))?;
    for (_, name, retry_on) in POLICIES {
        service(&namespace, name, "app: hello", "")?;
        namespace.apply(&lost_rules(name, retry_on))?;
    }
    namespace.available()?;
    for (client, ..) in POLICIES {
        namespace.ready(client)?;
    }
    let both = || {
        for (client, service, _) in POLICIES {
            let counts = ask(&namespace, client, service, 8)?;
            ensure!(
                counts.keys().eq(["node-1", "node-2"]),
                "{client} asks {service}, which should be on both nodes: {counts:?}"
            );
        }
        Ok(true)
    };
    eventually("both nodes are used", Duration::from_secs(20), both)?;

    let clients = POLICIES.map(|(client, service, _)| (client, service));
    let traffic = Traffic::between(&namespace, &clients)?;
    eventually("both nodes are used", Duration::from_secs(20), both)?;
    let cut = Cut::now()?;
    let lost = Instant::now();
    std::thread::sleep(LOST);
    drop(cut);
    let back = Instant::now();
    eventually("both nodes are used again", Duration::from_secs(30), both)?;
    let answers = traffic.stop()?;

    let seconds = |at: Option<Instant>, since: Instant| at.map_or(0.0, |at| (at - since).as_secs_f64());
    let meanwhile = || {
        answers
            .0
            .iter()
            .filter(|answer| answer.at >= lost && answer.at < back)
    };
    let slow = || meanwhile().filter(|answer| answer.tries > Some(1));
    let avoided = seconds(slow().map(|answer| answer.at).max(), lost);
    let again = answers
        .0
        .iter()
        .filter(|answer| answer.at >= back && answer.version == "node-2");
    println!(
        "    {} requests, {} of them while the node was lost: {answers}",
        answers.0.len(),
        meanwhile().count()
    );
    println!(
        "    {} were slow, since they had asked the lost node first, {} ms at most; it was avoided after {avoided:.1} s, and \
         used again {:.1} s after it was back",
        slow().count(),
        slow()
            .map(|answer| answer.took.as_millis())
            .max()
            .unwrap_or_default(),
        seconds(again.map(|answer| answer.at).min(), back)
    );
    answers.all_well(200)?;
    ensure!(slow().count() > 0, "nobody has asked the lost node");
    ensure!(
        avoided < LOST.as_secs_f64() / 2.0,
        "the lost node was still asked after {avoided:.1} s"
    );

    // Whoever comes next finds a node that does what it is told.
    for node in ["node/node-1", "node/node-2"] {
        kubectl(&["wait", "--for=condition=Ready", node, "--timeout=90s"])?;
    }
    namespace.kubectl(&["rollout", "restart", "deployment/far"])?;
    namespace.kubectl(&["rollout", "status", "deployment/far", "--timeout=90s"])?;
    namespace.delete()
}

/// The second node's cable, pulled until this is dropped, or the suite ends in another way.
struct Cut(Child);

impl Cut {
    fn now() -> Result<Self> {
        // Puts it back when nobody holds its input any more.
        let script = "trap '' INT TERM; ip link set node-2 down && echo cut; cat; ip link set node-2 up";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("sh")?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut said)?;
        ensure!(
            said == "cut\n",
            "there is no node-2 to be cut off: the suite does not run on the node"
        );
        Ok(Self(child))
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if let Err(error) = self.0.wait() {
            println!("    {error:#}");
        }
    }
}
