//! The proxies' side of discovery: each a TLS connection and a stream of its own, which asks for what a proxy asks for, in the
//! order in which it does, and takes answers in without using them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context, bail};
use outrigger_proxy::protocol::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use outrigger_proxy::protocol::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use outrigger_proxy::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD, mesh};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Request, Streaming};

use crate::cluster::{Cluster, dialled, pod_of, scattered, token};
use crate::lines::{FromProxies, Moment, ToProxies, Told, now, say};

/// As the proxy waits between attempts.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a proxy received.
struct Arrival {
    proxy: usize,
    at: Moment,
    bytes: u64,
    names: Vec<String>,
    /// Whether it was the last that it lacked.
    complete: bool,
}

pub(crate) async fn run(cluster: Cluster) -> anyhow::Result<()> {
    let mut told = Told::new();
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let mut tally = Tally {
        responses: vec![0; cluster.proxies],
        bytes: vec![0; cluster.proxies],
        complete: 0,
        awaited: None,
    };
    loop {
        tokio::select! {
            asked = told.next::<ToProxies>() => match asked? {
                None => return Ok(()),
                Some(ToProxies::Connect { address, ca }) => {
                    for number in 0..cluster.proxies {
                        let proxy = Proxy::new(number, cluster.used_by(number), arrivals.clone());
                        tokio::spawn(proxy.keep(address.clone(), ca.clone()));
                    }
                }
                Some(ToProxies::Await { name, count }) => {
                    tally.awaited = (count > 0).then_some((name, count));
                    say(&FromProxies::Armed)?;
                }
                Some(ToProxies::Totals) => {
                    let (responses, bytes) = (tally.responses.clone(), tally.bytes.clone());
                    say(&FromProxies::Totals { responses, bytes })?;
                }
            },
            Some(arrival) = arrived.recv() => {
                if let Some(news) = tally.count(&arrival) {
                    say(&news)?;
                }
            }
        }
    }
}

/// What all received together.
struct Tally {
    responses: Vec<u64>,
    bytes: Vec<u64>,
    complete: usize,
    awaited: Option<(String, usize)>,
}

impl Tally {
    fn count(&mut self, arrival: &Arrival) -> Option<FromProxies> {
        self.responses[arrival.proxy] += 1;
        self.bytes[arrival.proxy] += arrival.bytes;
        if arrival.complete {
            self.complete += 1;
            return (self.complete == self.responses.len()).then_some(FromProxies::Complete(arrival.at));
        }
        let (name, count) = self.awaited.as_mut()?;
        if arrival.names.iter().any(|one| one.starts_with(&*name)) {
            *count -= 1;
        }
        if *count > 0 {
            return None;
        }
        self.awaited = None;
        Some(FromProxies::Seen(arrival.at))
    }
}

struct Proxy {
    number: usize,
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// The names that it asked for and was not told of, by type.
    lacks: BTreeSet<(&'static str, String)>,
    /// All that it asked for.
    asked: BTreeMap<&'static str, BTreeSet<String>>,
    complete: bool,
}

type Requests = mpsc::UnboundedSender<DeltaDiscoveryRequest>;

impl Proxy {
    fn new(number: usize, uses: Vec<usize>, arrivals: mpsc::UnboundedSender<Arrival>) -> Self {
        let services: BTreeSet<_> = uses.into_iter().map(dialled).collect();
        let mut lacks: BTreeSet<_> = services.iter().map(|name| (SERVICE, name.clone())).collect();
        lacks.insert((WORKLOAD, SELF.to_owned()));
        let own = BTreeSet::from([SELF.to_owned()]);
        Self {
            number,
            arrivals,
            lacks,
            asked: BTreeMap::from([(WORKLOAD, own), (SERVICE, services)]),
            complete: false,
        }
    }

    /// Connects until it is connected; after that the stream has to stay.
    async fn keep(mut self, address: String, ca: String) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.open(&address, &ca).await {
                Ok((requests, responses)) => {
                    if let Err(error) = self.converse(requests, responses).await {
                        eprint(&format!("proxy {}: {error:#}", self.number));
                    }
                    return;
                }
                Err(_) => {
                    let jitter =
                        scattered(self.number + now() as usize) as u64 % (wait.as_millis() as u64 / 2 + 1);
                    tokio::time::sleep(wait / 2 + Duration::from_millis(jitter)).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    async fn open(
        &self,
        address: &str,
        ca: &str,
    ) -> anyhow::Result<(Requests, Streaming<DeltaDiscoveryResponse>)> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?;
        let channel = endpoint.connect().await?;
        let (requests, receiver) = mpsc::unbounded_channel();
        let (namespace, name) = pod_of(self.number);
        for (type_url, names) in &self.asked {
            let node = Node {
                id: format!("{namespace}/{name}"),
                ..Default::default()
            };
            requests.send(DeltaDiscoveryRequest {
                node: Some(node),
                ..subscribe(type_url, names.iter().cloned().collect())
            })?;
        }
        let mut request = Request::new(UnboundedReceiverStream::new(receiver));
        let bearer = format!("Bearer {}", token(self.number)).parse()?;
        request.metadata_mut().insert("authorization", bearer);
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let responses = client.delta_aggregated_resources(request).await?.into_inner();
        Ok((requests, responses))
    }

    async fn converse(
        &mut self,
        requests: Requests,
        mut responses: Streaming<DeltaDiscoveryResponse>,
    ) -> anyhow::Result<()> {
        while let Some(response) = responses.message().await? {
            let at = now();
            self.take(&requests, response, at)?;
        }
        bail!("the control plane closed the stream")
    }

    fn take(
        &mut self,
        requests: &Requests,
        response: DeltaDiscoveryResponse,
        at: Moment,
    ) -> anyhow::Result<()> {
        let bytes = response.encoded_len() as u64;
        let Some((type_url, asked)) = self.asked.get_key_value(response.type_url.as_str()) else {
            bail!("told of the type {}, which nobody asked for", response.type_url);
        };
        let type_url = *type_url;
        let mut names = response.removed_resources;
        names.extend(response.resources.iter().map(|resource| resource.name.clone()));
        if let Some(name) = names.iter().find(|name| !asked.contains(*name)) {
            bail!("told of {name}, which it did not ask for");
        }
        for name in &names {
            self.lacks.remove(&(type_url, name.clone()));
        }
        if type_url == SERVICE {
            let mut wanted = BTreeSet::new();
            for resource in &response.resources {
                let value = resource.resource.as_ref().context("no value")?;
                wanted.extend(named(&mesh::Service::decode(&value.value[..])?));
            }
            let asked = self.asked.entry(ENDPOINTS).or_default();
            wanted.retain(|name| asked.insert(name.clone()));
            if !wanted.is_empty() {
                let lacking = wanted.iter().map(|name| (ENDPOINTS, name.clone()));
                self.lacks.extend(lacking);
                requests.send(subscribe(ENDPOINTS, wanted.into_iter().collect()))?;
            }
        }
        requests.send(DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            response_nonce: response.nonce,
            ..Default::default()
        })?;
        let complete = self.lacks.is_empty() && !std::mem::replace(&mut self.complete, self.lacks.is_empty());
        let proxy = self.number;
        self.arrivals.send(Arrival {
            proxy,
            at,
            bytes,
            names,
            complete,
        })?;
        Ok(())
    }
}

fn subscribe(type_url: &str, names: Vec<String>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names_subscribe: names,
        initial_resource_versions: HashMap::new(),
        ..Default::default()
    }
}

/// The endpoints that a service's routes name.
fn named(service: &mesh::Service) -> impl Iterator<Item = String> {
    let http = service.http_routes.iter().flat_map(|route| &route.backends);
    let all = http
        .chain(&service.tcp_backends)
        .map(|backend| backend.endpoints.clone());
    all.filter(|name| !name.is_empty())
}

/// Standard output is for `lines`.
fn eprint(text: &str) {
    use std::io::Write;
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}
