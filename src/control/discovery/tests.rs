//! A real client over loopback. Every step waits for a message, none for time to pass.

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

mod destinations;
mod replicas;
mod sidecar;
mod work;

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

#[tokio::test]
async fn a_proxy_is_told_what_it_asks_for_and_what_changes_of_it() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL + &endpoints("a", &["10.1.0.1".to_owned()]))).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(WORKLOAD, &[SELF]).await;
    assert_eq!(proxy.told().await, "workload self=curl");
    proxy.subscribe(SERVICE, &[A, "10.0.0.9:80", "nonsense"]).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=a -10.0.0.9:80 -nonsense");
    proxy
        .subscribe(ENDPOINTS, &[ENDPOINTS_A, "x.default.svc.cluster.local:80"])
        .await;
    assert_eq!(
        proxy.told().await,
        "endpoints a.default.svc.cluster.local:80=10.1.0.1 -x.default.svc.cluster.local:80"
    );

    plane.apply(&rule("a", "b")).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=b");
    plane.apply(&endpoints("a", &["10.1.0.2".to_owned()])).await;
    assert_eq!(
        proxy.told().await,
        "endpoints a.default.svc.cluster.local:80=10.1.0.2"
    );
    // What was not there comes, and goes again.
    let late = SERVICES
        .replace("name: a", "name: late")
        .replace("10.0.0.1", "10.0.0.9");
    plane.apply(&late).await;
    assert_eq!(proxy.told().await, "service 10.0.0.9:80=late");
    plane.delete(Kind::Service, "late").await;
    assert_eq!(proxy.told().await, "service -10.0.0.9:80");
    // What it routes to is part of a rule: without it there is nowhere to go.
    plane.delete(Kind::Service, "b").await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=");

    // A change of what it did not ask for, or no longer asks for, is not told: the next word is about something else.
    proxy
        .ask(DeltaDiscoveryRequest {
            resource_names_unsubscribe: vec![A.to_owned()],
            ..subscribe(SERVICE, &["10.0.0.9:80"])
        })
        .await;
    assert_eq!(proxy.told().await, "service -10.0.0.9:80");
    plane.delete(Kind::VirtualService, "a").await;
    plane.apply(&rule("b", "a")).await;
    plane.apply(&endpoints("b", &["10.1.0.3".to_owned()])).await;
    plane.apply(&endpoints("a", &["10.1.0.4".to_owned()])).await;
    assert_eq!(
        proxy.told().await,
        "endpoints a.default.svc.cluster.local:80=10.1.0.4"
    );
    // Asking again for what is subscribed to is answered again.
    proxy.subscribe(ENDPOINTS, &[ENDPOINTS_A]).await;
    assert_eq!(
        proxy.told().await,
        "endpoints a.default.svc.cluster.local:80=10.1.0.4"
    );
    // A type of the future is answered, too.
    proxy
        .subscribe("type.googleapis.com/outrigger.mesh.v9.New", &["x"])
        .await;
    assert_eq!(proxy.told().await, "new -x");
    assert!(plane.metrics().contains("\npilot_xds 1\n"), "{}", plane.metrics());
}

#[tokio::test]
async fn what_bytes_say_already_is_not_said_again() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL)).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &[A, B]).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=a 10.0.0.2:80=b");
    // Touches both hosts, but only changes what b's clients are told.
    plane.apply(&rule("b", "a")).await;
    plane.apply("{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: all}, spec: {host: '*.default.svc.cluster.local', subsets: [{name: x}]}}").await;
    plane.apply(&rule("b", "b")).await;
    let mut last = proxy.told().await;
    while last != "service 10.0.0.2:80=b" {
        assert_eq!(last, "service 10.0.0.2:80=a");
        last = proxy.told().await;
    }
}

#[tokio::test]
async fn the_pods_own_labels_decide() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL + &rule("a", "b"))).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &[A, B]).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=b 10.0.0.2:80=b");
    proxy.subscribe(WORKLOAD, &[SELF]).await;
    assert_eq!(proxy.told().await, "workload self=curl");
    plane.apply(&CURL.replace("app: curl", "app: wget")).await;
    let told = [proxy.told().await, proxy.told().await];
    assert_eq!(told, ["service 10.0.0.1:80=a", "workload self=wget"]);
    // Its own ports, which services declare.
    let slice = endpoints("a", &[]).replace(
        "endpoints: []",
        "endpoints: [{addresses: [10.1.0.9], targetRef: {kind: Pod, name: curl}}]",
    );
    plane.apply(&slice).await;
    let response = proxy.next().await.unwrap();
    let value = &response.resources[0].resource.as_ref().unwrap().value[..];
    assert_eq!(
        mesh::Workload::decode(value).unwrap().inbound_ports,
        [mesh::InboundPort {
            port: 8080,
            protocol: mesh::Protocol::Http.into()
        }]
    );
}

#[tokio::test]
async fn a_proxy_that_comes_back_gets_only_what_is_new() {
    let both = SERVICES.to_owned() + CURL;
    let plane = Plane::with(&both).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &[A, B, "10.0.0.9:80"]).await;
    let first = proxy.next().await.unwrap();
    let versions = |response: &DeltaDiscoveryResponse| {
        let resources = response.resources.iter();
        resources
            .map(|resource| (resource.name.clone(), resource.version.clone()))
            .collect()
    };
    let again = DeltaDiscoveryRequest {
        initial_resource_versions: versions(&first),
        ..subscribe(SERVICE, &[A, B])
    };
    drop(proxy);

    // Another replica gives the same versions; that it has nothing to say is said, so that the proxy knows it is heard.
    let replica = Plane::with(&both).await;
    let mut proxy = replica.curl().await;
    proxy.ask(again.clone()).await;
    assert_eq!(proxy.told().await, "service");
    drop(proxy);

    // While it was away one was changed and one went.
    plane
        .apply(&rule("a", "a").replace("app: curl", "app: curl, x: y"))
        .await;
    plane.apply(&rule("a", "b")).await;
    plane.delete(Kind::VirtualService, "a").await;
    plane.apply(&SERVICES.replace("name: http", "name: grpc")).await;
    plane.apply(&rule("a", "b")).await;
    plane.delete(Kind::Service, "b").await;
    let mut proxy = plane.curl().await;
    proxy.ask(again).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80= -10.0.0.2:80");
}

#[tokio::test]
async fn a_refusal_is_counted_and_not_answered_with_the_same() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL)).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &[A]).await;
    let response = proxy.next().await.unwrap();
    proxy
        .ask(DeltaDiscoveryRequest {
            type_url: SERVICE.to_owned(),
            response_nonce: response.nonce.clone(),
            error_detail: Some(Detail {
                code: 3,
                message: "cannot use it".to_owned(),
            }),
            ..Default::default()
        })
        .await;
    proxy.subscribe(WORKLOAD, &[SELF]).await;
    assert_eq!(proxy.told().await, "workload self=curl");
    let metrics = plane.metrics();
    assert!(
        metrics.contains("pilot_total_xds_rejects_total{type=\"service\"} 1"),
        "{metrics}"
    );
    plane.apply(&rule("a", "b")).await;
    let next = proxy.next().await.unwrap();
    assert_eq!(render(&next), "service 10.0.0.1:80=b");
    assert_ne!(next.nonce, response.nonce);
}

#[tokio::test]
async fn who_proves_nothing_is_told_nothing() {
    let plane = Plane::with(CURL).await;
    for token in [None, Some("wrong"), Some("")] {
        let status = plane.connect(token).await.err().unwrap();
        assert_eq!(status.code(), Code::Unauthenticated, "{token:?}: {status}");
    }
    let plane = Plane::empty().await;
    let status = plane.connect(Some("token-of-curl")).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_pod_may_come_after_its_proxy() {
    let plane = Plane::with(CURL).await;
    let apply = async {
        // The stream is asked for first, if only by a little; either order has to end well.
        tokio::task::yield_now().await;
        plane.apply(&CURL.replace("name: curl", "name: late")).await;
    };
    let (proxy, ()) = tokio::join!(plane.connect(Some("token-of-late")), apply);
    let mut proxy = proxy.unwrap();
    proxy.subscribe(WORKLOAD, &[SELF]).await;
    assert_eq!(proxy.told().await, "workload self=curl");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_come_is_not_waited_for_for_ever() {
    let plane = Plane::with(CURL).await;
    let status = plane.connect(Some("token-of-other")).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("Pod default/other"), "{status}");
}

#[tokio::test]
async fn streams_end_with_their_pods_and_with_the_process() {
    for replaced in [true, false] {
        let plane = Plane::with(CURL).await;
        let mut proxy = plane.curl().await;
        proxy.subscribe(WORKLOAD, &[SELF]).await;
        assert_eq!(proxy.told().await, "workload self=curl");
        match replaced {
            true => plane.apply(&CURL.replace("uid: u", "uid: another")).await,
            false => plane.delete(Kind::Pod, "curl").await,
        }
        assert_eq!(proxy.next().await.unwrap_err().code(), Code::Unauthenticated);
    }
    let plane = Plane::with(CURL).await;
    let mut proxy = plane.curl().await;
    plane.shutdown.cancel();
    assert_eq!(proxy.next().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn more_than_a_proxy_can_need_is_refused() {
    let plane = Plane::with(CURL).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &["x".repeat(5000).as_str()]).await;
    assert_eq!(proxy.next().await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_slow_proxy_holds_up_nobody_and_skips_what_is_old() {
    const CHANGES: usize = 20;
    // Larger than what the connection takes in before somebody reads.
    let state = |step: usize| {
        let addresses: Vec<_> = (0..4000)
            .map(|n| format!("10.{}.{}.{}", 2 + step, n / 250, n % 250))
            .collect();
        endpoints("a", &addresses)
    };
    let first = |response: &DeltaDiscoveryResponse| {
        let value = &response.resources[0].resource.as_ref().unwrap().value[..];
        mesh::Endpoints::decode(value).unwrap().endpoints[0]
            .address
            .clone()
    };
    let plane =
        Plane::with(&(SERVICES.to_owned() + CURL + &CURL.replace("name: curl", "name: other") + &state(0)))
            .await;
    let mut slow = plane.connect(Some("token-of-other")).await.unwrap();
    slow.subscribe(ENDPOINTS, &[ENDPOINTS_A]).await;
    assert_eq!(first(&slow.next().await.unwrap()), "10.2.0.0");
    let mut quick = plane.curl().await;
    quick.subscribe(ENDPOINTS, &[ENDPOINTS_A]).await;
    assert_eq!(first(&quick.next().await.unwrap()), "10.2.0.0");
    for step in 1..=CHANGES {
        plane.apply(&state(step)).await;
        assert_eq!(
            first(&quick.next().await.unwrap()),
            format!("10.{}.0.0", 2 + step)
        );
    }
    let mut seen = 1;
    while first(&slow.next().await.unwrap()) != format!("10.{}.0.0", 2 + CHANGES) {
        seen += 1;
    }
    assert!(seen < CHANGES / 2, "it was sent {seen} of {CHANGES} states");
}

fn entry(name: &str, hosts: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}}}, spec: {{hosts: [{hosts}], ports: [{{number: 80, name: http}}], resolution: DNS, endpoints: [{{address: e.example.com}}]}}}}\n---\n"
    )
}

#[tokio::test]
async fn what_is_known_by_name_is_told_when_it_comes_changes_and_goes() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL)).await;
    let mut proxy = plane.curl().await;
    let names = [
        "*:80",
        "api.example.com:80",
        "x.wild.example.com:80",
        "240.0.0.1:80",
        "10.1.0.1:8080",
    ];
    proxy.subscribe(SERVICE, &names).await;
    assert_eq!(
        proxy.told().await,
        "service -*:80 -10.1.0.1:8080 -240.0.0.1:80 -api.example.com:80 -x.wild.example.com:80"
    );
    plane.apply(&entry("api", "api.example.com")).await;
    assert_eq!(
        proxy.told().await,
        "service *:80=api.example.com api.example.com:80=api"
    );
    plane.apply(&entry("wild", "'*.wild.example.com'")).await;
    assert_eq!(
        proxy.told().await,
        "service *:80=*.wild.example.com,api.example.com x.wild.example.com:80=x"
    );
    // A rule for a name below the wildcard.
    plane.apply(&rule("x.wild.example.com", "a")).await;
    assert_eq!(proxy.told().await, "service x.wild.example.com:80=a");
    plane.delete(Kind::VirtualService, "x.wild.example.com").await;
    assert_eq!(proxy.told().await, "service x.wild.example.com:80=x");
    proxy.subscribe(ENDPOINTS, &["x.wild.example.com:80"]).await;
    assert_eq!(
        proxy.told().await,
        "endpoints x.wild.example.com:80=e.example.com"
    );
    plane
        .apply(&entry("wild", "'*.wild.example.com'").replace("address: e", "address: f"))
        .await;
    assert_eq!(
        proxy.told().await,
        "endpoints x.wild.example.com:80=f.example.com"
    );

    // Addresses of its own: no longer by name alone.
    let addressed = entry("api", "api.example.com").replace("ports:", "addresses: [240.0.0.0/8], ports:");
    plane.apply(&addressed).await;
    assert_eq!(
        proxy.told().await,
        "service *:80=*.wild.example.com 240.0.0.1:80=api"
    );
    // A Sidecar hides it from this pod.
    let sidecar = "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s}, spec: {egress: [{hosts: [~/*]}]}}";
    plane.apply(sidecar).await;
    assert_eq!(
        proxy.told().await,
        "service -*:80 -240.0.0.1:80 -api.example.com:80 -x.wild.example.com:80"
    );
    plane.delete(Kind::Sidecar, "s").await;
    assert_eq!(
        proxy.told().await,
        "service *:80=*.wild.example.com 240.0.0.1:80=api api.example.com:80=api x.wild.example.com:80=x"
    );
    plane.delete(Kind::ServiceEntry, "wild").await;
    assert_eq!(proxy.told().await, "endpoints -x.wild.example.com:80");
    assert_eq!(proxy.told().await, "service -*:80 -x.wild.example.com:80");

    // A pod of a headless service.
    plane.apply("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}").await;
    plane.apply(&endpoints("web", &["10.1.0.1".to_owned()])).await;
    assert_eq!(proxy.told().await, "service 10.1.0.1:8080=original");
    plane.apply(&endpoints("web", &["10.1.0.2".to_owned()])).await;
    assert_eq!(proxy.told().await, "service -10.1.0.1:8080");
}
