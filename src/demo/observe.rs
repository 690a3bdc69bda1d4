//! Who was answered by whom, and whether that is what the rules say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use outrigger_proxy::balance::{Cluster, Endpoints};
use outrigger_proxy::message::Request;
use outrigger_proxy::route::{self, Service, Target};

use super::sidecars::Running;
use super::traffic::get_plain;
use super::workloads::{Destination, Pod};
use crate::control::compile::{self, Client};
use crate::control::feed::Reader;

/// Requests one after another: enough to see turns and what stays the same.
const REQUESTS: usize = 4;
/// How long a rule may take to reach a proxy; it takes milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// One client and one destination.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) client: String,
    pub(super) url: String,
    pod: String,
    to: Destination,
    path: String,
    /// The answers: versions, or statuses.
    answers: Vec<String>,
    /// What the rules allow, and whether all of it has to be seen.
    allowed: BTreeSet<String>,
    in_turn: bool,
}

impl Row {
    pub(super) fn seen(&self) -> String {
        self.answers.join(" ")
    }

    /// What is wrong with what was seen, if anything is.
    pub(super) fn wrong(&self) -> Option<String> {
        let seen: BTreeSet<String> = self.answers.iter().cloned().collect();
        let right = if self.in_turn && self.allowed.len() <= REQUESTS {
            seen == self.allowed
        } else {
            seen.is_subset(&self.allowed)
        };
        let allowed = self.allowed.iter().cloned().collect::<Vec<_>>().join(", ");
        (!right).then(|| {
            format!(
                "{} -> {} got {}, the rules say {allowed}",
                self.client,
                self.url,
                self.seen()
            )
        })
    }
}

/// Every pod with a proxy and every HTTP destination that does not lead back to it, one pod of each workload.
pub(super) fn rows(running: &[Running], destinations: &[Destination], path: &str) -> Vec<Row> {
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for pod in running.iter().filter(|pod| pod.mesh.is_some()) {
        for to in destinations.iter().filter(|to| is_client(&pod.pod, to)) {
            let url = format!("{}:{}{path}", host(to), to.port);
            let client = pod.pod.labels.get("app").unwrap_or(&pod.pod.workload).clone();
            rows.entry((pod.pod.workload.clone(), url.clone()))
                .or_insert_with(|| Row {
                    client,
                    url,
                    pod: pod.pod.name.clone(),
                    to: to.clone(),
                    path: path.to_owned(),
                    answers: Vec::new(),
                    allowed: BTreeSet::new(),
                    in_turn: false,
                });
        }
    }
    rows.into_values().collect()
}

/// Whether a pod is asked to send requests there: pods of the service's own application are left out.
pub(super) fn is_client(pod: &Pod, to: &Destination) -> bool {
    !(pod.namespace == to.namespace && pod.labels.get("app").is_some_and(|app| *app == to.service))
}

/// The name of a destination as its clients write it.
pub(super) fn host(to: &Destination) -> String {
    format!("{}.{}.svc.cluster.local", to.service, to.namespace)
}

/// Sends the requests of every row, once each client's proxy has been told what the cluster holds now.
pub(super) async fn ask(rows: &mut [Row], running: &[Running], reader: &Reader) -> anyhow::Result<()> {
    for row in rows {
        let client = running
            .iter()
            .find(|one| one.pod.name == row.pod)
            .context("a row without a client")?;
        row.expect(client, running, reader).await?;
        let (_, entrance) = client
            .outbound
            .iter()
            .find(|(to, _)| *to == row.to)
            .context("no way to the destination")?;
        row.answers.clear();
        for _ in 0..REQUESTS {
            let host = format!("{}:{}", host(&row.to), row.to.port);
            let (status, body) = get_plain(*entrance, &host, &row.path)
                .await
                .with_context(|| row.url.clone())?;
            let answer = if status.is_success() {
                version(&body)
            } else {
                status.as_u16().to_string()
            };
            row.answers.push(answer);
        }
    }
    Ok(())
}

/// The version in the answer of a hello server.
fn version(body: &str) -> String {
    body.strip_prefix("Hello version: ")
        .and_then(|rest| rest.split(',').next())
        .unwrap_or(body.trim())
        .to_owned()
}

impl Row {
    /// Notes what the rules allow, and waits until the client's proxy knows it.
    async fn expect(&mut self, client: &Running, running: &[Running], reader: &Reader) -> anyhow::Result<()> {
        let address = SocketAddr::from((self.to.ip, self.to.port));
        let asks = Client {
            namespace: client.pod.namespace.clone(),
            labels: client.pod.labels.clone(),
        };
        let told = tokio::time::timeout(PATIENCE, async {
            let mesh = client.mesh.as_ref().context("a client without a proxy")?;
            let destination = mesh
                .find(address)
                .await
                .map_err(|why| anyhow!("the proxy passes {address} through: {why:?}"))?;
            loop {
                // What the feed has not taken in yet is not in the world either: both are looked at anew each time.
                let published =
                    compile::service(&reader.world.borrow(), &asks, address).context("no such service")?;
                let wanted = Service::new(published, |backend| {
                    Cluster::new(backend, Endpoints::new(&backend.endpoints))
                })?;
                let known = destination.service().context("the service is gone")?;
                if shape(&known) == shape(&wanted) && reached(&known, reader) {
                    return anyhow::Ok(wanted);
                }
                tokio::time::sleep(POLL).await;
            }
        });
        let wanted = told
            .await
            .with_context(|| format!("the proxy of {} was not told of the rules", self.client))??;
        self.allow(&wanted, running, reader)
    }

    fn allow(&mut self, service: &Service, running: &[Running], reader: &Reader) -> anyhow::Result<()> {
        let (request, ()) = http::Request::get(self.path.as_str()).body(())?.into_parts();
        let request = Request::from(request);
        self.allowed.clear();
        let Some(route) = route::find(&service.http, &request).map(|found| found.route) else {
            self.allowed.insert("404".into());
            return Ok(());
        };
        self.in_turn = route.backends.len() == 1;
        for backend in &route.backends {
            let Target::Cluster(cluster) = &backend.target else {
                self.allowed.insert("503".into());
                continue;
            };
            self.in_turn &= cluster.goes_round();
            let endpoints = compile::endpoints(&reader.world.borrow(), cluster.endpoints_name())
                .unwrap_or_default()
                .endpoints;
            if endpoints.is_empty() {
                self.allowed.insert("503".into());
            }
            for endpoint in endpoints {
                let pod = running
                    .iter()
                    .find(|one| one.pod.ip.to_string() == endpoint.address);
                let pod = &pod
                    .with_context(|| format!("no pod has the address {}", endpoint.address))?
                    .pod;
                self.allowed
                    .insert(pod.labels.get("version").unwrap_or(&pod.workload).clone());
            }
        }
        Ok(())
    }
}

/// What two versions of a service differ in, if they do: rules by name, destinations by name and weight.
fn shape(service: &Service) -> Vec<(String, Vec<(u32, String)>)> {
    let target = |backend: &route::Backend| match &backend.target {
        Target::Cluster(cluster) => (backend.weight, cluster.name().to_owned()),
        Target::Unavailable(why) => (backend.weight, why.clone()),
    };
    service
        .http
        .iter()
        .map(|route| (route.name.clone(), route.backends.iter().map(target).collect()))
        .collect()
}

/// Whether the endpoints that a proxy knows for a service are those that the cluster holds.
fn reached(service: &Service, reader: &Reader) -> bool {
    let targets = service
        .http
        .iter()
        .flat_map(|route| &route.backends)
        .map(|backend| &backend.target);
    targets.into_iter().all(|target| match target {
        Target::Unavailable(_) => true,
        Target::Cluster(cluster) => {
            let wanted = compile::endpoints(&reader.world.borrow(), cluster.endpoints_name())
                .unwrap_or_default()
                .endpoints;
            let wanted = wanted.iter().map(|one| format!("{}:{}", one.address, one.port));
            cluster
                .endpoints()
                .is_some_and(|known| known.iter().map(|one| one.address.to_string()).eq(wanted))
        }
    })
}
