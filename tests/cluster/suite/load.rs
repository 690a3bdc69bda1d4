//! The webhook by itself, as the API server reaches it: over TLS, on one kept connection, with a pod that it admits.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use outrigger_certs::client_config;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::figures::{Times, first_pod, memory, resident};
use crate::install::{SYSTEM, ca_bundles, outrigger};
use crate::kubectl::Namespace;
use crate::security::processes;

const RATE: u32 = 1000;
const HOST: &str = "outrigger.outrigger-system.svc";

/// 1,000 reviews a second for 30 s, on one core where that can be had, and then 100,000 as fast as they are answered:
/// how long they take, and what they leave in the controller's memory. A tenth of that in the development profile, whose
/// times say little.
pub(crate) fn reviews() -> Result<()> {
    outrigger()?;
    let released = std::env::var("OUTRIGGER_PROFILE").is_ok_and(|profile| profile == "release");
    let (seconds, count) = if released { (30, 100_000) } else { (3, 10_000) };
    let injected = Namespace::injected("load-injected")?;
    let plain = Namespace::create("load-plain")?;
    let review = Bytes::from(review(&plain, injected.0)?.to_string());
    let system = Namespace(SYSTEM);
    let replica = first_pod(&system, "app.kubernetes.io/instance=outrigger")?;
    let pod = system.object(&format!("pod/{replica}"))?;
    let pinned = pin(pod["metadata"]["uid"].as_str().context("a uid")?)?;
    let address: SocketAddr =
        format!("{}:15017", pod["status"]["podIP"].as_str().context("an address")?).parse()?;

    let runtime = tokio::runtime::Runtime::new()?;
    let requests = runtime.block_on(connect(address))?;
    // Caches and the allocator fill first, so that memory is compared with memory.
    runtime.block_on(flood(&requests, &review, 2000))?;
    let before = memory(&system, &replica, "controller")?;
    let times = runtime.block_on(steady(&requests, &review, seconds))?;
    let since = Instant::now();
    runtime.block_on(flood(&requests, &review, count))?;
    let took = since.elapsed();
    let after = memory(&system, &replica, "controller")?;
    pinned.map_or(Ok(()), |process| affinity(process, "0-4095"))?;

    let milliseconds = |share| times.quantile(share).as_secs_f64() * 1e3;
    println!(
        "    reviews over TLS, {} bytes each, the controller {}",
        review.len(),
        match pinned {
            Some(_) => "on one core",
            None => "not pinned to a core",
        }
    );
    println!("    | rate | median | 99th percentile | longest |");
    println!("    |---|---|---|---|");
    println!(
        "    | {RATE}/s for {seconds} s | {:.2} ms | {:.2} ms | {:.2} ms |",
        milliseconds(0.5),
        milliseconds(0.99),
        milliseconds(1.0)
    );
    println!(
        "    {count} more, 16 at once: {:.0}/s",
        f64::from(count) / took.as_secs_f64()
    );
    println!("    memory before: {before}; after: {after}");
    let [before, after] = [resident(&before)?, resident(&after)?];
    ensure!(
        after < before + before / 4 + 4096,
        "the controller's memory grew from {before} kB to {after} kB"
    );
    injected.delete()?;
    plain.delete()
}

/// An AdmissionReview of an ordinary pod, as the API server fills it in.
fn review(plain: &Namespace, namespace: &str) -> Result<Value> {
    let probe = json!({"httpGet": {"path": "/healthz", "port": "http"}});
    let mut pod = plain.dry_run(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "labels": {"app": "web", "version": "v1"}},
            "spec": {"containers": [{
                "name": "web", "image": "docker.io/curlimages/curl",
                "env": (0..12).map(|number| json!({"name": format!("SETTING_{number}"), "value": "value"})).collect::<Vec<_>>(),
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": probe, "livenessProbe": probe,
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }]},
        }),
    )?;
    pod["metadata"]["namespace"] = namespace.into();
    Ok(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "0f9d6f5e-4e6f-4a43-8a9e-7f0f2f6c0c11", "operation": "CREATE", "dryRun": true,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "web", "namespace": namespace, "object": pod, "oldObject": null,
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        },
    }))
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let bundle = ca_bundles()?.into_iter().next().context("a caBundle")?;
    let mut tls = client_config(&String::from_utf8(STANDARD.decode(bundle)?)?)?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(Arc::new(tls))
        .connect(HOST.try_into()?, stream)
        .await?;
    let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(requests)
}

/// One review, sent when it is called: how long until the whole answer is here, which must be a patch.
async fn send(mut requests: SendRequest<Full<Bytes>>, review: Bytes) -> Result<Duration> {
    let request = http::Request::post(format!("https://{HOST}/inject?timeout=5s"))
        .header("content-type", "application/json")
        .body(Full::new(review))?;
    let since = Instant::now();
    let answer = requests
        .send_request(request)
        .await?
        .into_body()
        .collect()
        .await?
        .to_bytes();
    let took = since.elapsed();
    ensure!(
        answer.windows(11).any(|part| part == b"\"JSONPatch\""),
        "the answer has no patch: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(took)
}

/// At `RATE`, whether or not those before have been answered.
async fn steady(requests: &SendRequest<Full<Bytes>>, review: &Bytes, seconds: u32) -> Result<Times> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut sent = tokio::task::JoinSet::new();
    for _ in 0..RATE * seconds {
        pace.tick().await;
        sent.spawn(send(requests.clone(), review.clone()));
    }
    let times = sent.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(Times::new(times))
}

/// Sixteen at once.
async fn flood(requests: &SendRequest<Full<Bytes>>, review: &Bytes, count: u32) -> Result<()> {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (requests, review) = (requests.clone(), review.clone());
        clients.spawn(async move {
            for _ in 0..count / 16 {
                send(requests.clone(), review.clone()).await?;
            }
            anyhow::Ok(())
        });
    }
    clients.join_all().await.into_iter().collect()
}

/// Keeps the controller to one core and returns its process, if it runs on this machine.
fn pin(uid: &str) -> Result<Option<u32>> {
    let controller = processes(uid)?.into_iter().find(|process| {
        let command = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        command.starts_with(b"/usr/local/bin/outrigger\0")
    });
    controller.map_or(Ok(()), |process| affinity(process, "0"))?;
    Ok(controller)
}

fn affinity(process: u32, cores: &str) -> Result<()> {
    let status = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", cores, &process.to_string()])
        .stdout(std::process::Stdio::null())
        .status()
        .context("taskset")?;
    ensure!(
        status.success(),
        "taskset could not pin process {process} to {cores}"
    );
    Ok(())
}
