//! `outrigger explain pod -f` as a user types it: the decision, the rule, the values with their sources, and the rules of iptables.

mod requests;

use std::io::Write as _;
use std::process::{Command, Output};

fn explain(manifest: &str) -> Output {
    let mut file = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .expect("a file");
    file.write_all(manifest.as_bytes()).expect("written");
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    config.write_all(b"proxy: {drainSeconds: 7}").expect("written");
    Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["explain", "pod", "--config"])
        .arg(config.path())
        .arg("-f")
        .arg(file.path())
        .output()
        .expect("outrigger runs")
}

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata:
      annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: '3306', sidecar.istio.io/proxyCpu: 1}
    spec:
      containers: [{name: app, image: web, securityContext: {runAsUser: 1337}}]
";

#[test]
fn a_workload_is_explained() {
    let output = explain(&WEB.replace("proxyCpu: 1", "proxyCpu: '1'"));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    for expected in [
        "Deployment shop/web is injected, because its namespace has the label istio-injection=enabled",
        "namespace_label      inject   ->",
        "proxy.excludeOutboundPorts",
        "annotation traffic.sidecar.istio.io/excludeOutboundPorts",
        "container app runs as 1337",
        "the annotation sidecar.istio.io/proxyCpu has no effect here; did you mean sidecar.istio.io/proxyCPU?",
        "iptables, IPv4:",
        "--dport 3306 -j RETURN",
        "--uid-owner 1338 -j RETURN",
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    let drain = text
        .lines()
        .find(|line| line.contains("proxy.drainSeconds"))
        .expect("a line");
    assert!(drain.contains(" 7 ") && drain.ends_with("settings"), "{drain}");
}

#[test]
fn what_keeps_a_workload_out_is_explained() {
    let output = explain(
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: true, containers: [{name: a}]}}",
    );
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        text.contains("Pod a is not injected, because spec.hostNetwork is true"),
        "{text}"
    );
    assert!(text.contains("host_network         skip     ->"), "{text}");
    assert!(
        text.contains("namespace_label      inject   (holds too)"),
        "{text}"
    );
    assert!(!text.contains("iptables"), "{text}");
}

#[test]
fn a_refusal_is_explained_and_no_workload_is_an_error() {
    let output = explain(&WEB.replace("'3306'", "mysql").replace("proxyCpu: 1", "a: b"));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        text.contains("Deployment shop/web is refused: metadata.annotations["),
        "{text}"
    );
    let output = explain("{apiVersion: v1, kind: Service, metadata: {name: a}}");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}
