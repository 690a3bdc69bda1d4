//! What a user of a mesh pays: the webhook's time for each pod, memory, and the image's size. Printed, hardly asserted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::install::{SYSTEM, outrigger};
use crate::kubectl::{Namespace, kubectl};

/// Durations, sorted.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The smallest duration that at least this share of all does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }
}

impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, high] = [0.5, 0.99].map(|share| self.quantile(share).as_secs_f64() * 1e3);
        write!(
            formatter,
            "{median:.1} ms (median), {high:.1} ms (99th percentile of {})",
            self.0.len()
        )
    }
}

/// From the API server's own metric, whose smallest bucket is 5 ms, and by creating pods with and without the webhook.
pub(crate) fn webhook() -> Result<()> {
    outrigger()?;
    let injected = Namespace::injected("figures-injected")?;
    let plain = Namespace::create("figures-plain")?;
    for namespace in [&plain, &injected] {
        println!(
            "    a pod is created in {}: {}",
            namespace.0,
            creations(namespace, 200)?
        );
    }
    let metrics = kubectl(&["get", "--raw", "/metrics"])?;
    let buckets = buckets(&metrics);
    let count = buckets
        .last()
        .context("the API server has not called the webhook")?
        .1;
    println!(
        "    the webhook as the API server sees it: {:.1} ms (median), {:.1} ms (99th percentile of {count}; estimated \
         from buckets, {:.1} % are within 5 ms)",
        estimate(&buckets, 0.5) * 1e3,
        estimate(&buckets, 0.99) * 1e3,
        buckets[0].1 / count * 100.0
    );
    ensure!(
        count >= 200.0,
        "the API server has called the webhook {count} times only"
    );
    injected.delete()?;
    plain.delete()
}

/// How long the creation of a pod takes that is admitted and not kept.
fn creations(namespace: &Namespace, pods: usize) -> Result<Times> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"generateName": "one-"},
        "spec": {"containers": [{"name": "app", "image": "docker.io/curlimages/curl"}]},
    }))?;
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let api = Api::<Pod>::namespaced(kube::Client::try_default().await?, namespace.0);
        let mut times = Vec::new();
        for _ in 0..pods {
            let since = Instant::now();
            api.create(&parameters, &pod).await?;
            times.push(since.elapsed());
        }
        Ok(Times::new(times))
    })
}

/// Upper bounds in seconds with the number of calls up to each, of all webhooks of ours.
pub(crate) fn buckets(metrics: &str) -> Vec<(f64, f64)> {
    const NAME: &str = "apiserver_admission_webhook_admission_duration_seconds_bucket{";
    let mut buckets = BTreeMap::new();
    for line in metrics.lines() {
        let Some((labels, count)) = line.strip_prefix(NAME).and_then(|rest| rest.split_once("} ")) else {
            continue;
        };
        let bound = labels.split(',').find_map(|label| label.strip_prefix("le=\""));
        let bound = bound.and_then(|bound| {
            bound
                .trim_end_matches('"')
                .replace("+Inf", "inf")
                .parse::<f64>()
                .ok()
        });
        if let (Some(bound), Ok(count)) = (bound, count.parse::<f64>())
            && labels.contains("sidecar-injector.outrigger.dev\"")
        {
            // Positive floats are in the order of their bits.
            *buckets.entry(bound.to_bits()).or_insert(0.0) += count;
        }
    }
    buckets
        .into_iter()
        .map(|(bound, count)| (f64::from_bits(bound), count))
        .collect()
}

/// A quantile in seconds, as Prometheus estimates it: evenly spread within its bucket.
pub(crate) fn estimate(buckets: &[(f64, f64)], share: f64) -> f64 {
    let wanted = share * buckets.last().map_or(0.0, |last| last.1);
    let mut below = (0.0, 0.0);
    for &(bound, count) in buckets {
        if count >= wanted {
            let within = (wanted - below.1) / (count - below.1).max(1.0);
            return if bound.is_finite() {
                below.0 + (bound - below.0) * within
            } else {
                below.0
            };
        }
        below = (bound, count);
    }
    below.0
}

/// Memory at rest, read by a debug container beside the program, and the image's size on the node.
pub(crate) fn sizes() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::injected("figures-sizes")?;
    namespace.walkthrough()?;
    let client = first_pod(&namespace, "app=curl")?;
    println!(
        "    proxy at rest: {}",
        memory(&namespace, &client, "outrigger-proxy")?
    );
    let system = Namespace(SYSTEM);
    let replica = first_pod(&system, "app.kubernetes.io/name=outrigger")?;
    println!("    control plane: {}", memory(&system, &replica, "controller")?);

    let image = "jsonpath={.spec.containers[0].image}";
    let image = system.kubectl(&["get", "pod", &replica, "-o", image])?;
    let sizes = "jsonpath={range .items[*].status.images[*]}{.sizeBytes} {.names}{\"\\n\"}{end}";
    let sizes = kubectl(&["get", "nodes", "-o", sizes])?;
    let size = sizes.lines().find(|line| line.contains(&image));
    let size = size.and_then(|line| line.split(' ').next()?.parse::<f64>().ok());
    match size {
        Some(bytes) => println!(
            "    image {image}: {:.1} MiB on the node",
            bytes / 1024.0 / 1024.0
        ),
        // The kubelet lists the largest 50 only, and a few seconds late.
        None => println!("    image {image}: the node does not list it"),
    }
    namespace.delete()
}

pub(crate) fn first_pod(namespace: &Namespace, label: &str) -> Result<String> {
    let running = "--field-selector=status.phase=Running";
    let name = "jsonpath={.items[0].metadata.name}";
    namespace.kubectl(&["get", "pods", running, "-l", label, "-o", name])
}

/// `VmRSS: … kB, RssAnon: … kB` of a container's process 1.
pub(crate) fn memory(namespace: &Namespace, pod: &str, container: &str) -> Result<String> {
    // A pod keeps what it was debugged with, and its name.
    static READERS: AtomicUsize = AtomicUsize::new(0);
    let number = READERS.fetch_add(1, Ordering::Relaxed);
    let reader = format!("memory-{}-{number}", std::process::id());
    let (target, name) = (format!("--target={container}"), format!("--container={reader}"));
    namespace.kubectl(&[
        "debug",
        pod,
        "--image=docker.io/curlimages/curl",
        "--image-pull-policy=IfNotPresent",
        "--profile=restricted",
        &target,
        &name,
        "--",
        "busybox",
        "grep",
        "-E",
        "VmRSS|RssAnon",
        "/proc/1/status",
    ])?;
    let ended = format!(
        "--for=jsonpath={{.status.ephemeralContainerStatuses[?(@.name=='{reader}')].state.terminated.exitCode}}=0"
    );
    namespace.kubectl(&["wait", &ended, &format!("pod/{pod}"), "--timeout=30s"])?;
    let lines = namespace.kubectl(&["logs", pod, "-c", &reader])?;
    ensure!(lines.lines().count() == 2, "{pod} {container}: {lines:?}");
    let words: Vec<_> = lines
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    Ok(words.join(", "))
}

/// The kilobytes of `VmRSS: … kB, …`.
pub(crate) fn resident(memory: &str) -> Result<u64> {
    let number = memory.split_whitespace().nth(1).context("VmRSS")?;
    Ok(number.parse()?)
}
