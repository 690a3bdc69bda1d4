//! The cluster that is simulated: its objects as the API server would give them, and what each proxy uses of it. No I/O.

use std::net::Ipv4Addr;

use anyhow::Context;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use kube::api::ObjectMeta;
use outrigger::control::world::{EndpointSlice, Event, Kind, Namespace, Node, Object, Pod, Rule, Service};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Endpoints of each service, which are pods.
pub(crate) const ENDPOINTS: usize = 10;
/// Of so many services one has rules: a VirtualService and a DestinationRule.
pub(crate) const RULED: usize = 10;
const NAMESPACES: usize = 50;
const NODES: usize = 1000;
/// Services that every proxy uses, such as one that takes telemetry in, and those that are its own.
const SHARED: usize = 5;
const OWN: usize = 15;

/// Services are told apart by a number; the first proxies are the pods of the first services.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Cluster {
    #[arg(long)]
    pub(crate) services: usize,
    #[arg(long)]
    pub(crate) proxies: usize,
}

pub(crate) fn host(service: usize) -> String {
    format!("svc-{service}.{}.svc.cluster.local", namespace(service))
}

fn namespace(service: usize) -> String {
    format!("ns-{}", service % NAMESPACES)
}

/// The resource that a proxy asks for when its application dials the service.
pub(crate) fn dialled(service: usize) -> String {
    format!("{}:80", address([10, 96], service))
}

fn address([first, second]: [u8; 2], number: usize) -> Ipv4Addr {
    let base = u32::from(Ipv4Addr::new(first, second, 0, 0));
    Ipv4Addr::from(base + u32::try_from(number).unwrap_or_default())
}

/// Namespace and name of the pod of a proxy.
pub(crate) fn pod_of(proxy: usize) -> (String, String) {
    let (service, replica) = (proxy / ENDPOINTS, proxy % ENDPOINTS);
    (namespace(service), pod_name(service, replica))
}

fn pod_name(service: usize, replica: usize) -> String {
    format!("svc-{service}-5d8f7c9b6d-{replica:05}")
}

pub(crate) fn token(proxy: usize) -> String {
    format!("token-{proxy}")
}

impl Cluster {
    /// The services that a proxy uses: some that everyone does, and some all over the cluster.
    pub(crate) fn used_by(&self, proxy: usize) -> Vec<usize> {
        let own = (0..OWN).map(|index| scattered(proxy * OWN + index) % self.services);
        let mut used: Vec<_> = (0..SHARED.min(self.services)).chain(own).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// Everything, as lists of each kind.
    pub(crate) fn listed(&self, kind: Kind) -> anyhow::Result<Event> {
        let ruled = || (0..self.services).step_by(RULED);
        let objects: anyhow::Result<Vec<Object>> = match kind {
            Kind::Namespace => (0..NAMESPACES).map(namespace_object).collect(),
            Kind::Node => (0..NODES).map(node).collect(),
            Kind::Pod => (0..self.services * ENDPOINTS).map(pod).collect(),
            Kind::Service => (0..self.services).map(service).collect(),
            Kind::EndpointSlice => (0..self.services).map(|service| slice(service, true)).collect(),
            Kind::DestinationRule => ruled().map(destination_rule).collect(),
            Kind::VirtualService => ruled().map(|service| self.virtual_service(service, 0)).collect(),
            Kind::PodAddress | Kind::ServiceEntry | Kind::WorkloadEntry | Kind::Sidecar => Ok(Vec::new()),
        };
        Ok(Event::Replace(kind, objects?))
    }

    /// Routes for some clients, for a header, and by weight to the subsets; another `version` has another timeout.
    pub(crate) fn virtual_service(&self, service: usize, version: u64) -> anyhow::Result<Object> {
        let host = host(service);
        let to = |subset: &str, weight: u64| json!({"destination": {"host": host, "subset": subset}, "weight": weight});
        let timeout = format!("{}s", 10 + version % 1000);
        Ok(Object::VirtualService(rule(
            "VirtualService",
            service,
            json!({"hosts": [host], "http": [
                {
                    "match": [{"sourceLabels": {"app": "svc-1"}, "uri": {"prefix": "/v1"}}],
                    "route": [to("v1", 100)],
                    "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"},
                },
                {
                    "match": [{"headers": {"x-canary": {"exact": "true"}}}],
                    "route": [to("v2", 100)],
                    "headers": {"request": {"set": {"x-routed-by": "canary"}}},
                },
                {"route": [to("v1", 90), to("v2", 10)], "timeout": timeout},
            ]}),
        )?))
    }
}

/// The same numbers in each process and each run, in no order that an index could profit from (splitmix64).
pub(crate) fn scattered(number: usize) -> usize {
    let mut mixed = (number as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or_default()
}

/// An endpoint slice, of which the last pod is ready or not.
pub(crate) fn slice(service: usize, last_ready: bool) -> anyhow::Result<Object> {
    let endpoints: Vec<_> = (0..ENDPOINTS)
        .map(|replica| {
            let number = service * ENDPOINTS + replica;
            let ready = last_ready || replica + 1 < ENDPOINTS;
            json!({
                "addresses": [address([10, 128], number)],
                "conditions": {"ready": ready, "serving": ready, "terminating": false},
                "nodeName": node_name(number),
                "zone": zone(number),
                "targetRef": {
                    "kind": "Pod", "namespace": namespace(service), "name": pod_name(service, replica), "uid": uid(number),
                },
            })
        })
        .collect();
    let slice: discovery::EndpointSlice = typed(json!({
        "metadata": {
            "name": format!("svc-{service}-x7k2p"), "namespace": namespace(service),
            "labels": {"kubernetes.io/service-name": format!("svc-{service}")},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }))?;
    Ok(Object::EndpointSlice(EndpointSlice::from(slice)))
}

fn namespace_object(number: usize) -> anyhow::Result<Object> {
    let meta: ObjectMeta =
        typed(json!({"name": namespace(number), "labels": {"istio-injection": "enabled"}}))?;
    Ok(Object::Namespace(Namespace::from(meta)))
}

fn node_name(number: usize) -> String {
    format!("node-{}.example.internal", number % NODES)
}

fn zone(number: usize) -> String {
    format!("region-1{}", ["a", "b", "c"][number % NODES % 3])
}

fn node(number: usize) -> anyhow::Result<Object> {
    let meta: ObjectMeta = typed(json!({"name": node_name(number), "labels": {
        "kubernetes.io/hostname": node_name(number),
        "topology.kubernetes.io/region": "region-1",
        "topology.kubernetes.io/zone": zone(number),
    }}))?;
    Ok(Object::Node(Node::from(meta)))
}

fn uid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn pod(number: usize) -> anyhow::Result<Object> {
    let (service, replica) = (number / ENDPOINTS, number % ENDPOINTS);
    let meta: ObjectMeta = typed(json!({
        "name": pod_name(service, replica), "namespace": namespace(service), "uid": uid(number),
        "labels": {
            "app": format!("svc-{service}"),
            "version": format!("v{}", 1 + replica % 2),
            "pod-template-hash": "5d8f7c9b6d",
        },
    }))?;
    Ok(Object::Pod(Pod::from(meta)))
}

fn service(service: usize) -> anyhow::Result<Object> {
    let object: core::Service = typed(json!({
        "metadata": {"name": format!("svc-{service}"), "namespace": namespace(service)},
        "spec": {
            "clusterIP": address([10, 96], service),
            "clusterIPs": [address([10, 96], service)],
            "type": "ClusterIP",
            "selector": {"app": format!("svc-{service}")},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
        },
    }))?;
    Ok(Object::Service(Service::from(object)))
}

fn destination_rule(service: usize) -> anyhow::Result<Object> {
    let subset = |version: &str| json!({"name": version, "labels": {"version": version}});
    Ok(Object::DestinationRule(Box::new(rule(
        "DestinationRule",
        service,
        json!({
            "host": host(service),
            "trafficPolicy": {
                "loadBalancer": {"simple": "LEAST_REQUEST"},
                "connectionPool": {"http": {"http2MaxRequests": 1000}},
                "outlierDetection": {"consecutive5xxErrors": 5, "interval": "10s"},
            },
            "subsets": [subset("v1"), subset("v2")],
        }),
    )?)))
}

fn rule<S: outrigger::control::world::RuleSpec>(
    kind: &str,
    service: usize,
    spec: Value,
) -> anyhow::Result<Rule<S>> {
    let object = json!({
        "apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": {
            "name": format!("svc-{service}"), "namespace": namespace(service),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    });
    Rule::read(&object).with_context(|| format!("{kind} svc-{service}"))
}

fn typed<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    Ok(serde_json::from_value(value)?)
}
