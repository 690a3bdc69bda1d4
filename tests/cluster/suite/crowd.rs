//! A thousand pods at once, through the API server and both replicas' webhook, beside as many without it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use crate::figures::{Times, buckets, estimate, memory};
use crate::install::{SYSTEM, outrigger};
use crate::kubectl::{Namespace, kubectl};

const PODS: usize = 1000;
/// Between two attempts to create the same pod, and until the last one may begin.
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// They are kept, but nobody runs them: they wait for a scheduling gate that nobody opens.
pub(crate) fn created() -> Result<()> {
    outrigger()?;
    let (plain, injected) = (
        Namespace::create("crowd-plain")?,
        Namespace::injected("crowd-injected")?,
    );
    let replicas = replicas()?;
    let (calls, before) = (calls()?, memories(&replicas)?);
    println!("    | {PODS} pods at once | pods/s | median | 99th percentile | longest |");
    println!("    |---|---|---|---|---|");
    for (namespace, proxies) in [(&plain, 0), (&injected, PODS)] {
        let since = Instant::now();
        let (times, again) = create(namespace)?;
        let took = since.elapsed();
        let [median, high, longest] = [0.5, 0.99, 1.0].map(|share| times.quantile(share).as_secs_f64() * 1e3);
        println!(
            "    | {} | {:.0} | {median:.0} ms | {high:.0} ms | {longest:.0} ms |",
            namespace.0,
            PODS as f64 / took.as_secs_f64(),
        );
        if again > 0 {
            println!("    the webhook was not waited for {again} times");
        }
        let found = with_proxy(namespace)?;
        ensure!(
            found == proxies,
            "{found} pods of {} have a proxy, not {proxies}",
            namespace.0
        );
    }
    let calls: Vec<_> = self::calls()?
        .iter()
        .map(|(bound, count)| {
            let before = calls.iter().find(|(other, _)| other == bound);
            (*bound, count - before.map_or(0.0, |(_, count)| *count))
        })
        .collect();
    let count = calls
        .last()
        .context("the API server has not called the webhook")?
        .1;
    // Once for each, if nothing else changes what the webhook has answered; and a few of them are asked for again.
    ensure!(
        (PODS as f64..PODS as f64 * 1.5).contains(&count),
        "the API server has called the webhook {count} times for {PODS} pods"
    );
    println!(
        "    the webhook as the API server sees it: {:.1} ms (median), {:.1} ms (99th percentile of {count}; estimated from \
         buckets)",
        estimate(&calls, 0.5) * 1e3,
        estimate(&calls, 0.99) * 1e3,
    );
    for ((replica, before), after) in replicas.iter().zip(before).zip(memories(&replicas)?) {
        println!("    memory of {replica} before: {before}; after: {after}");
    }
    injected.delete()?;
    plain.delete()
}

/// The API server's counts of calls to the webhook; see [`buckets`].
fn calls() -> Result<Vec<(f64, f64)>> {
    Ok(buckets(&kubectl(&["get", "--raw", "/metrics"])?))
}

fn replicas() -> Result<Vec<String>> {
    let names = Namespace(SYSTEM).kubectl(&[
        "get",
        "pods",
        "--field-selector=status.phase=Running",
        "-l",
        "app.kubernetes.io/instance=outrigger",
        "-o",
        "jsonpath={.items[*].metadata.name}",
    ])?;
    let names: Vec<_> = names.split_whitespace().map(str::to_owned).collect();
    ensure!(names.len() == 2, "there are not two replicas: {names:?}");
    Ok(names)
}

fn memories(replicas: &[String]) -> Result<Vec<String>> {
    let system = Namespace(SYSTEM);
    replicas
        .iter()
        .map(|replica| memory(&system, replica, "controller"))
        .collect()
}

/// How long each creation takes of pods that are asked for at the same time, and how often one had to be asked for again
/// because of the webhook, as a controller does: a machine that has something else to do needs more for a thousand reviews at
/// once than the 5 s for which the API server waits. It may also ask to come again itself. Either is part of the time.
fn create(namespace: &Namespace) -> Result<(Times, usize)> {
    let pod = |number: usize| -> Result<Pod> {
        Ok(serde_json::from_value(json!({
            "metadata": {"name": format!("crowd-{number}"), "labels": {"app": "crowd"}},
            "spec": {
                "schedulingGates": [{"name": "outrigger.dev/nobody-opens-this"}],
                "containers": [{
                    "name": "app", "image": "docker.io/curlimages/curl",
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                }],
            },
        }))?)
    };
    let pods: Vec<_> = (0..PODS).map(pod).collect::<Result<_>>()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let api = Api::<Pod>::namespaced(kube::Client::try_default().await?, namespace.0);
        let again = Cell::new(0);
        let one = async |pod: &Pod| {
            let since = Instant::now();
            loop {
                match api.create(&PostParams::default(), pod).await {
                    Ok(_) => return Ok(since.elapsed()),
                    Err(kube::Error::Api(status)) if status.code == 429 => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(kube::Error::Api(status))
                        if status.message.contains("failed calling webhook")
                            && since.elapsed() < PATIENCE =>
                    {
                        again.set(again.get() + 1);
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let times: Result<Vec<_>, _> = join_all(pods.iter().map(one)).await.into_iter().collect();
        Ok((Times::new(times?), again.get()))
    })
}

fn with_proxy(namespace: &Namespace) -> Result<usize> {
    let all = tokio::runtime::Runtime::new()?.block_on(async {
        let api = Api::<Pod>::namespaced(kube::Client::try_default().await?, namespace.0);
        anyhow::Ok(api.list(&ListParams::default()).await?)
    })?;
    let has_proxy = |pod: &&Pod| {
        let spec = pod.spec.iter();
        let mut containers = spec.flat_map(|spec| {
            spec.containers
                .iter()
                .chain(spec.init_containers.iter().flatten())
        });
        containers.any(|container| container.name == "outrigger-proxy")
    };
    Ok(all.items.iter().filter(has_proxy).count())
}
