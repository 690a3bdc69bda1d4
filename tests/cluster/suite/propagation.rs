//! How soon a connected proxy routes by what was just written, measured from the write's beginning to the first answer
//! that follows it. A client asks every 2 ms on one connection, so that is the resolution.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;

use crate::figures::Times;
use crate::install::outrigger;
use crate::kubectl::Namespace;
use crate::walkthrough::version;

const CHANGES: usize = 30;

/// A VirtualService and an EndpointSlice are changed to and fro between both versions.
pub(crate) fn propagation() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::injected("propagation")?;
    namespace.walkthrough()?;
    let address = |app: &str| {
        let pod = [
            "get",
            "pods",
            "-l",
            app,
            "-o",
            "jsonpath={.items[0].status.podIP}",
        ];
        namespace.kubectl(&pod)
    };
    let addresses = [address("version=v1")?, address("version=v2")?];
    namespace.apply(&objects(&addresses[1]))?;

    let runtime = tokio::runtime::Runtime::new()?;
    let client = runtime.block_on(kube::Client::try_default())?;
    let virtual_service = GroupVersionKind::gvk("networking.istio.io", "v1", "VirtualService");
    let rules = Api::<DynamicObject>::namespaced_with(
        client.clone(),
        namespace.0,
        &ApiResource::from_gvk(&virtual_service),
    );
    let slices = Api::<EndpointSlice>::namespaced(client, namespace.0);
    let parameters = PatchParams::default();

    let by_rule = measured(&namespace, "helloworld", |version| {
        let route = json!([{"route": [{"destination": {"host": "helloworld", "subset": version}}]}]);
        let patch = Patch::Merge(json!({"spec": {"http": route}}));
        runtime.block_on(rules.patch("helloworld", &parameters, &patch))?;
        Ok(())
    })?;
    let by_endpoint = measured(&namespace, "manual", |version| {
        let address = if version == "v1" {
            &addresses[0]
        } else {
            &addresses[1]
        };
        let patch = Patch::Merge(json!({"endpoints": [{"addresses": [address]}]}));
        runtime.block_on(slices.patch("manual-1", &parameters, &patch))?;
        Ok(())
    })?;
    for (what, times) in [("VirtualService", by_rule), ("EndpointSlice", by_endpoint)] {
        println!("    a change of a {what} is followed after {times}");
        ensure!(times.quantile(0.5) < Duration::from_secs(1), "{what}: {times}");
    }
    namespace.delete()
}

/// Subsets for the walk-through's Service, all of whose requests go to v2, and a Service whose endpoints the story writes.
fn objects(address: &str) -> String {
    format!(
        r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{ name: helloworld }}
spec:
  host: helloworld
  subsets: [{{ name: v1, labels: {{ version: v1 }} }}, {{ name: v2, labels: {{ version: v2 }} }}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: helloworld }}
spec:
  hosts: [helloworld]
  http: [{{ route: [{{ destination: {{ host: helloworld, subset: v2 }} }}] }}]
---
apiVersion: v1
kind: Service
metadata: {{ name: manual }}
spec: {{ ports: [{{ name: http, port: 5000 }}] }}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: manual-1, labels: {{ kubernetes.io/service-name: manual }} }}
addressType: IPv4
ports: [{{ name: http, port: 5000 }}]
endpoints: [{{ addresses: [{address}] }}]
"#
    )
}

/// The times that `change` to v1, to v2, to v1… needs until a client of the Service has its answers from there.
fn measured(namespace: &Namespace, service: &str, change: impl Fn(&str) -> Result<()>) -> Result<Times> {
    let (mut client, answers) = ask(namespace, service)?;
    let mut times = Vec::new();
    let until = |wanted: &str, since: Instant| -> Result<Duration> {
        loop {
            let (at, answer) = answers
                .recv_timeout(Duration::from_secs(10))
                .context("the client is silent")?;
            if at > since && version(&answer) == Some(wanted) {
                return Ok(at - since);
            }
            ensure!(
                since.elapsed() < Duration::from_secs(10),
                "still {answer:?}, and not {wanted}"
            );
        }
    };
    until("v2", Instant::now())?;
    for number in 0..CHANGES {
        let wanted = ["v1", "v2"][number % 2];
        let since = Instant::now();
        change(wanted)?;
        times.push(until(wanted, since)?);
    }
    client.kill()?;
    client.wait()?;
    namespace.shell("deploy/curl-deploy", "busybox killall curl")?;
    Ok(Times::new(times))
}

/// A client that asks a Service, over and over, and each answer with the moment of its arrival.
fn ask(namespace: &Namespace, service: &str) -> Result<(Child, Receiver<(Instant, String)>)> {
    let url = format!(
        "http://{service}.{}.svc.cluster.local:5000/hello?[1-1000000]",
        namespace.0
    );
    let mut client = Command::new("kubectl")
        .args([
            "-n",
            namespace.0,
            "exec",
            "deploy/curl-deploy",
            "-c",
            "curl",
            "--",
        ])
        .args(["curl", "-sSN", "--rate", "500/s", &url])
        .stdout(Stdio::piped())
        .spawn()
        .context("kubectl exec")?;
    let output = BufReader::new(client.stdout.take().expect("stdout is piped"));
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        for answer in output.lines().map_while(Result::ok) {
            if sender.send((Instant::now(), answer)).is_err() {
                break;
            }
        }
    });
    Ok((client, answers))
}
