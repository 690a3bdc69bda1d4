//! Kubernetes' objects with only what routing needs of them, since there are many.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use kube::api::ObjectMeta;

use crate::api::WorkloadEntrySpec;

/// Namespace and name of an object; the namespace of what has none is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "said above")]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    /// Of an object in a namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Of an object as the API server gives it.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What injection asks of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "said above")]
pub struct Namespace {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// The annotation with which OpenShift says which user ids are for this namespace.
    pub uid_range: Option<String>,
}

/// OpenShift's annotation of a namespace: `FIRST/COUNT`.
const UID_RANGE: &str = "openshift.io/sa.scc.uid-range";

impl From<ObjectMeta> for Namespace {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            name: meta.name.unwrap_or_default(),
            labels: meta.labels.unwrap_or_default(),
            uid_range: meta.annotations.and_then(|mut all| all.remove(UID_RANGE)),
        }
    }
}

/// A pod: who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub key: Key,
    /// Of this very pod, not of one of the same name before it.
    pub uid: String,
    /// What rules select it by.
    pub labels: BTreeMap<String, String>,
}

/// Everything that routing asks of a pod is metadata, so that nothing else of it has to be fetched or kept.
impl From<ObjectMeta> for Pod {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            key: Key::of(&meta),
            uid: meta.uid.unwrap_or_default(),
            labels: meta.labels.unwrap_or_default(),
        }
    }
}

/// A service: Kubernetes' own, or one host of the ServiceEntries of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name; `World::host_of` gives the name that clients know.
    pub key: Key,
    /// Its cluster IPs, the primary one first; none for a headless service.
    pub addresses: Vec<IpAddr>,
    /// Where else it is dialled: external IPs, and the addresses of a ServiceEntry.
    pub ranges: Vec<IpNet>,
    /// Its TCP ports.
    pub ports: Vec<ServicePort>,
    /// Whether connections go to where the client dialled unless a rule leads them elsewhere: a headless service, and a
    /// ServiceEntry with resolution NONE.
    pub original_destination: bool,
    /// The name that it is an alias of: an ExternalName service.
    pub external_name: Option<String>,
    /// The namespaces whose clients see it: `*`, `.` (its own), `~` (nobody) or names; none at all: everybody.
    pub export_to: Vec<String>,
    /// What of its endpoints clients prefer.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// `internalTrafficPolicy: Local`: clients use the endpoints of their own node, and no others.
    pub own_node_only: bool,
    /// `sessionAffinity: ClientIP`: a pod keeps its endpoint.
    pub client_ip_affinity: bool,
}

/// Kubernetes' `trafficDistribution`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficDistribution {
    /// `PreferSameZone`, and `PreferClose`, its older name.
    SameZone,
    /// `PreferSameNode`.
    SameNode,
}

/// A TCP port of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty if the service has only this one.
    pub name: String,
    /// What clients dial.
    pub port: u16,
    /// What is spoken there, if it is declared.
    pub app_protocol: Option<String>,
}

impl Service {
    /// The port with this number.
    pub fn port(&self, port: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|candidate| candidate.port == port)
    }

    /// Whether clients of a namespace see it.
    pub fn is_exported_to(&self, namespace: &str) -> bool {
        let own = self.key.namespace == namespace;
        let mut to = self.export_to.iter();
        self.export_to.is_empty() || to.any(|to| to == "*" || to == namespace || (to == "." && own))
    }

    /// Whether a ServiceEntry made it.
    pub fn is_entry(&self) -> bool {
        self.key.name.starts_with('/')
    }
}

/// Istio's annotation of a Service: the namespaces that see it, by commas.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

impl From<core::Service> for Service {
    fn from(service: core::Service) -> Self {
        let spec = service.spec.unwrap_or_default();
        let traffic_distribution = match spec.traffic_distribution.as_deref() {
            Some("PreferClose" | "PreferSameZone") => Some(TrafficDistribution::SameZone),
            Some("PreferSameNode") => Some(TrafficDistribution::SameNode),
            _ => None,
        };
        let own_node_only = spec.internal_traffic_policy.as_deref() == Some("Local");
        let client_ip_affinity = spec.session_affinity.as_deref() == Some("ClientIP");
        let headless = spec.cluster_ip.as_deref() == Some("None");
        let external_name = spec
            .external_name
            .filter(|_| spec.type_.as_deref() == Some("ExternalName"))
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let external_ips = spec.external_ips.iter().flatten();
        let export_to = service
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(EXPORT_TO));
        let export_to = export_to.map(String::as_str).unwrap_or_default().split(',');
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in spec.cluster_ip.iter().chain(spec.cluster_ips.iter().flatten()) {
            // "None" marks a headless service, and an ExternalName has nothing here.
            if let Ok(address) = address.parse()
                && !addresses.contains(&address)
            {
                addresses.push(address);
            }
        }
        let ports = spec.ports.into_iter().flatten();
        let ports = ports
            .filter(|port| is_tcp(port.protocol.as_deref()))
            .filter_map(|port| {
                Some(ServicePort {
                    name: port.name.unwrap_or_default(),
                    port: u16::try_from(port.port).ok()?,
                    app_protocol: port.app_protocol,
                })
            });
        Self {
            key: Key::of(&service.metadata),
            addresses,
            ranges: external_ips
                .filter_map(|address| address.parse::<IpAddr>().ok())
                .map(IpNet::from)
                .collect(),
            ports: ports.collect(),
            original_destination: headless,
            traffic_distribution,
            own_node_only,
            client_ip_affinity,
            external_name,
            export_to: export_to
                .map(|to| to.trim().to_owned())
                .filter(|to| !to.is_empty())
                .collect(),
        }
    }
}

/// Part of a service's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub key: Key,
    /// The service that it belongs to.
    pub service: Key,
    /// Numbers of the pods' TCP ports, by the name of the service's port.
    pub ports: BTreeMap<String, u16>,
    /// Where pods are.
    pub endpoints: Vec<Endpoint>,
}

/// A pod behind a service, or what a ServiceEntry has for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The addresses, all of the slice's family; none if it is known by a name that proxies resolve.
    pub addresses: Vec<IpAddr>,
    /// Whether it wants traffic.
    pub ready: bool,
    /// Whether it is about to end and still answers: used where no other endpoint is ready.
    pub ending: bool,
    /// The zone it runs in, as far as the slice says.
    pub zone: Option<String>,
    /// The node it runs on, as far as the slice says.
    pub node: Option<String>,
    /// The pod, if it is one.
    pub pod: Option<Key>,
    /// The pod's own name below the service's, which StatefulSets give.
    pub hostname: Option<String>,
    /// What a ServiceEntry says of it, with ports by the names that the slice has for them: its labels, its weight, where it
    /// is and, without `addresses`, the name it is known by.
    pub entry: Option<Box<WorkloadEntrySpec>>,
}

impl Endpoint {
    /// The port of the endpoint behind a service's port of this name, in this slice.
    pub fn port(&self, slice: &EndpointSlice, name: &str) -> Option<u16> {
        let of_slice = slice.ports.get(name).copied()?;
        let own = self.entry.as_ref().and_then(|entry| entry.ports.get(name));
        Some(own.and_then(|own| u16::try_from(*own).ok()).unwrap_or(of_slice))
    }
}

impl From<discovery::EndpointSlice> for EndpointSlice {
    fn from(slice: discovery::EndpointSlice) -> Self {
        let key = Key::of(&slice.metadata);
        let labels = slice.metadata.labels.unwrap_or_default();
        let service = labels
            .get("kubernetes.io/service-name")
            .map_or("", String::as_str);
        let ports = slice.ports.into_iter().flatten();
        let ports = ports
            .filter(|port| is_tcp(port.protocol.as_deref()))
            .filter_map(|port| Some((port.name.unwrap_or_default(), u16::try_from(port.port?).ok()?)));
        let ports = ports.collect();
        let endpoints = slice.endpoints.into_iter().map(|endpoint| {
            let conditions = endpoint.conditions.unwrap_or_default();
            // The API says that an endpoint of which nothing is known is to be taken as ready.
            let ready = conditions.ready.unwrap_or(true);
            let ending = conditions.terminating == Some(true) && conditions.serving.unwrap_or(ready);
            Endpoint {
                addresses: endpoint
                    .addresses
                    .iter()
                    .filter_map(|address| address.parse().ok())
                    .collect(),
                ready,
                pod: endpoint
                    .target_ref
                    .filter(|target| target.kind.as_deref() == Some("Pod"))
                    .map(|target| {
                        Key::new(
                            target.namespace.as_deref().unwrap_or(&key.namespace),
                            target.name.as_deref().unwrap_or_default(),
                        )
                    }),
                ending,
                zone: endpoint.zone,
                node: endpoint.node_name,
                hostname: endpoint.hostname,
                entry: None,
            }
        });
        let endpoints = endpoints.collect();
        Self {
            service: Key::new(&key.namespace, service),
            ports,
            endpoints,
            key,
        }
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}
