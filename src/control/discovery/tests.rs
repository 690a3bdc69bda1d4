//! A real client over loopback. Every step waits for a message, none for time to pass.

mod destinations;
mod replicas;
mod sidecar;
mod streams;
mod told;
mod work;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use outrigger_proxy::protocol::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use outrigger_proxy::protocol::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Status as Detail};
use outrigger_proxy::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD, mesh};
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::*;
use crate::control::directory::{documents, events};
use crate::control::feed::Feed;
use crate::control::world::{Event, Key, Kind};

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}]}}
---
";
const CURL: &str = "{apiVersion: v1, kind: Pod, metadata: {name: curl, uid: u, labels: {app: curl}}}\n---\n";
const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";
const ENDPOINTS_A: &str = "a.default.svc.cluster.local:80";

fn endpoints(service: &str, addresses: &[String]) -> String {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| format!("{{addresses: [{address}]}}"))
        .collect();
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {service}-x, labels: {{kubernetes.io/service-name: {service}}}}}, addressType: IPv4, ports: [{{name: http, port: 8080}}], endpoints: [{}]}}\n---\n",
        endpoints.join(", ")
    )
}

/// A rule that only sends clients with `app: curl` from one service to another.
fn rule(host: &str, to: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {host}}}, spec: {{hosts: [{host}], http: [{{match: [{{sourceLabels: {{app: curl}}}}], route: [{{destination: {{host: {to}}}}}]}}]}}}}\n---\n"
    )
}

struct Plane {
    router: Router,
    feed: mpsc::Sender<Event>,
    reader: Reader,
    registry: Registry,
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl Plane {
    /// Knows nothing yet.
    async fn empty() -> Self {
        let shutdown = CancellationToken::new();
        let mut registry = Registry::default();
        let (feed, events, reader) = Feed::new(World::default());
        tokio::spawn(feed.run(shutdown.clone()));
        let token = |pod: &str| (format!("token-of-{pod}"), ("default".to_owned(), pod.to_owned()));
        let tokens = Authenticate::tokens(BTreeMap::from(["curl", "other", "late"].map(token)));
        let router = router(reader.clone(), tokens, &mut registry, shutdown.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plain = router.clone();
        tokio::spawn(async move { axum::serve(listener, plain).await });
        Self {
            router,
            feed: events,
            reader,
            registry,
            address,
            shutdown,
        }
    }

    async fn with(text: &str) -> Self {
        let plane = Self::empty().await;
        let documents = documents(&[("test.yaml".to_owned(), text.to_owned())]).unwrap();
        for event in events(&documents).unwrap() {
            plane.send(event).await;
        }
        plane
    }

    /// Applies it and waits until it is applied.
    async fn send(&self, event: Event) {
        let mut world = self.reader.world.clone();
        let before = world.borrow().events();
        self.feed.send(event).await.unwrap();
        world.wait_for(|world| world.events() > before).await.unwrap();
    }

    async fn apply(&self, text: &str) {
        for document in documents(&[("test.yaml".to_owned(), text.to_owned())]).unwrap() {
            self.send(Event::Apply(document.object().unwrap().unwrap())).await;
        }
    }

    async fn delete(&self, kind: Kind, name: &str) {
        self.send(Event::Delete(kind, Key::new("default", name))).await;
    }

    async fn connect(&self, token: Option<&str>) -> Result<Proxy, Status> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        // Small, so that whoever does not read is felt soon.
        let endpoint = endpoint.initial_stream_window_size(65_535);
        let channel = endpoint.connect().await.unwrap();
        let (requests, receiver) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(receiver));
        if let Some(token) = token {
            request
                .metadata_mut()
                .insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.delta_aggregated_resources(request).await?.into_inner();
        Ok(Proxy { requests, responses })
    }

    async fn curl(&self) -> Proxy {
        self.connect(Some("token-of-curl")).await.unwrap()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// The sum of a metric over its labels.
    fn count(&self, metric: &str) -> u64 {
        let text = self.metrics();
        let lines = text.lines().filter(|line| line.starts_with(metric));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    }
}

struct Proxy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Proxy {
    async fn ask(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    async fn subscribe(&self, type_url: &str, names: &[&str]) {
        self.ask(subscribe(type_url, names)).await;
    }

    async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        // Only so that a broken server fails the test instead of hanging it.
        let response = timeout(Duration::from_secs(20), self.responses.message())
            .await
            .expect("a message");
        response.map(|response| response.expect("an open stream"))
    }

    /// The next response in short: `service 10.0.0.1:80=a -10.0.0.9:80`.
    async fn told(&mut self) -> String {
        render(&self.next().await.unwrap())
    }
}

fn subscribe(type_url: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

/// The type, each name with what it leads to, each removed name with a minus.
fn render(response: &DeltaDiscoveryResponse) -> String {
    let mut words = vec![response.type_url.rsplit('.').next().unwrap().to_lowercase()];
    for resource in &response.resources {
        let value = &resource.resource.as_ref().unwrap().value[..];
        let contents = match response.type_url.as_str() {
            SERVICE => {
                let service = mesh::Service::decode(value).unwrap();
                let names: Vec<_> = service.hosts.keys().map(String::as_str).collect();
                match &service.http_routes[0].backends[..] {
                    [to] if !names.is_empty() => format!("{}{}", names.join(","), to.endpoints),
                    [to] if to.original_destination => "original".to_owned(),
                    [to, ..] => to.endpoints.split('.').next().unwrap().to_owned(),
                    [] => "nothing".to_owned(),
                }
            }
            ENDPOINTS => {
                let endpoints = mesh::Endpoints::decode(value).unwrap().endpoints;
                endpoints
                    .iter()
                    .map(|one| one.address.clone())
                    .collect::<Vec<_>>()
                    .join(",")
            }
            _ => mesh::Workload::decode(value)
                .unwrap()
                .labels
                .values()
                .cloned()
                .collect::<Vec<_>>()
                .join(","),
        };
        words.push(format!("{}={contents}", resource.name));
    }
    words.extend(response.removed_resources.iter().map(|name| format!("-{name}")));
    words.join(" ")
}
