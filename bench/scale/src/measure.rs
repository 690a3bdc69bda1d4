//! One size of cluster, measured: starts `controller` and `proxies`, tells them what happens, and reads clocks and /proc.
//! After it: `report`.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Serialize;

use crate::cluster::{Cluster, ENDPOINTS, RULED, dialled, host, scattered};
use crate::lines::{FromController, FromProxies, Moment, ToController, ToProxies, now};
use crate::process::Process;

/// Endpoint changes a second, all over the cluster.
const CHURN: u64 = 100;
/// What is on its way has arrived after this.
const QUIET: Duration = Duration::from_secs(1);
/// A service that every proxy uses and that has rules.
const SHARED: usize = 0;

/// The figures of one size.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) services: usize,
    pub(crate) endpoints: usize,
    pub(crate) rules: usize,
    pub(crate) proxies: usize,
    /// From an empty control plane to the last proxy that has all it uses.
    pub(crate) start_ms: f64,
    /// Of that, until the world had every object.
    pub(crate) loaded_ms: f64,
    /// Resident bytes of the control plane: with nothing, and with everything and after all changes.
    pub(crate) empty_bytes: u64,
    pub(crate) resident_bytes: u64,
    /// Sent to one proxy until it had all it uses.
    pub(crate) sent_mean_bytes: u64,
    pub(crate) sent_max_bytes: u64,
    /// From a change to the last proxy that uses what changed, where all of them do.
    pub(crate) endpoint: Times,
    pub(crate) rule: Times,
    /// The same for endpoints of services all over the cluster, which few proxies or none use.
    pub(crate) scattered: Times,
    /// How many responses proxies got that do not use what changed.
    pub(crate) uninterested: u64,
    /// Percent of one processor at the steady churn.
    pub(crate) churn_percent: f64,
}

/// Milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Times {
    /// The changes that anybody waited for.
    pub(crate) count: usize,
    /// Processor time of the control plane for one change, whoever waited.
    pub(crate) processor: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Times {
    fn of(mut all: Vec<f64>, processor: f64) -> Self {
        all.sort_by(f64::total_cmp);
        let rank = |part: f64| {
            let rank = (part * all.len() as f64).ceil() as usize;
            all.get(rank.max(1) - 1).copied().unwrap_or_default()
        };
        Self {
            count: all.len(),
            processor,
            p50: rank(0.5),
            p99: rank(0.99),
            max: rank(1.0),
        }
    }
}

struct Measured {
    cluster: Cluster,
    controller: Process,
    proxies: Process,
    /// What each proxy must have got by now.
    responses: Vec<u64>,
}

pub(crate) async fn measure(cluster: Cluster, changes: usize, churn: u64) -> anyhow::Result<Figures> {
    ensure!(
        cluster.services * ENDPOINTS >= cluster.proxies,
        "--services {}: {} proxies need as many pods, and a service has {ENDPOINTS}",
        cluster.services,
        cluster.proxies
    );
    let mut controller = Process::start("controller", cluster, 0)?;
    let mut proxies = Process::start("proxies", cluster, 1)?;
    let FromController::Listening { address, ca } = controller.hear().await? else {
        bail!("the control plane does not say where it listens");
    };
    let empty_bytes = controller.memory()?;
    let begun = now();
    proxies.say(&ToProxies::Connect { address, ca }).await?;
    let (_, loaded) = done(controller.ask(&ToController::Load).await?)?;
    let FromProxies::Complete(complete) = proxies.hear().await? else {
        bail!("the proxies do not say that they have everything");
    };
    let mut all = Measured {
        cluster,
        controller,
        proxies,
        responses: Vec::new(),
    };
    let (responses, bytes) = all.totals().await?;
    all.responses = responses;

    let endpoint = all.time(changes, |_| Change::Endpoint(SHARED)).await?;
    let rule = all.time(changes, |_| Change::Rule(SHARED)).await?;
    let services = cluster.services;
    let scattered = all
        .time(changes, |number| Change::Endpoint(scattered(number) % services))
        .await?;
    let (responses, _) = all.totals().await?;
    let uninterested = responses
        .iter()
        .zip(&all.responses)
        .map(|(got, due)| got.abs_diff(*due))
        .sum();

    let before = (now(), all.controller.processor_time()?);
    let asked = ToController::Churn {
        per_second: CHURN,
        seconds: churn,
    };
    done(all.controller.ask(&asked).await?)?;
    let used = all.controller.processor_time()? - before.1;
    let churn_percent = 100_000.0 * used / milliseconds(before.0, now());
    let rules = 2 * services.div_ceil(RULED);
    Ok(Figures {
        services,
        endpoints: services * ENDPOINTS,
        rules,
        proxies: cluster.proxies,
        start_ms: milliseconds(begun, complete),
        loaded_ms: milliseconds(begun, loaded),
        empty_bytes,
        resident_bytes: all.controller.memory()?,
        sent_mean_bytes: bytes.iter().sum::<u64>() / bytes.len().max(1) as u64,
        sent_max_bytes: bytes.iter().copied().max().unwrap_or_default(),
        endpoint,
        rule,
        scattered,
        uninterested,
        churn_percent,
    })
}

#[derive(Clone, Copy)]
enum Change {
    Endpoint(usize),
    Rule(usize),
}

impl Measured {
    /// One change after another, each when the last proxy has the one before.
    async fn time(&mut self, count: usize, change: impl Fn(usize) -> Change) -> anyhow::Result<Times> {
        let mut times = Vec::new();
        let before = self.controller.processor_time()?;
        for number in 0..count {
            let (service, name, asked) = match change(number) {
                Change::Endpoint(service) => (service, host(service), ToController::Endpoint(service)),
                Change::Rule(service) => (service, dialled(service), ToController::Rule(service)),
            };
            let mut interested = 0;
            for (proxy, responses) in self.responses.iter_mut().enumerate() {
                if self.cluster.used_by(proxy).contains(&service) {
                    *responses += 1;
                    interested += 1;
                }
            }
            let FromProxies::Armed = self
                .proxies
                .ask(&ToProxies::Await {
                    name: name.clone(),
                    count: interested,
                })
                .await?
            else {
                bail!("the proxies are not waiting for {name}");
            };
            let (begun, _) = done(self.controller.ask(&asked).await?)?;
            if interested > 0 {
                let seen = self
                    .proxies
                    .hear()
                    .await
                    .with_context(|| format!("{interested} proxies wait for {name}"))?;
                let FromProxies::Seen(last) = seen else {
                    bail!("the proxies say {seen:?} instead of when they had {name}");
                };
                times.push(milliseconds(begun, last));
            }
        }
        let used = self.controller.processor_time()? - before;
        Ok(Times::of(times, 1000.0 * used / count.max(1) as f64))
    }

    /// Responses and bytes of each proxy, once nothing is on its way.
    async fn totals(&mut self) -> anyhow::Result<(Vec<u64>, Vec<u64>)> {
        tokio::time::sleep(QUIET).await;
        match self.proxies.ask(&ToProxies::Totals).await? {
            FromProxies::Totals { responses, bytes } => Ok((responses, bytes)),
            other => bail!("the proxies say {other:?} instead of what they got"),
        }
    }
}

fn done(said: FromController) -> anyhow::Result<(Moment, Moment)> {
    match said {
        FromController::Done { begun, ended } => Ok((begun, ended)),
        other => bail!("the control plane says {other:?} instead of having done it"),
    }
}

fn milliseconds(from: Moment, to: Moment) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}
