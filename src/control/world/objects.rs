//! Kubernetes' objects with only what routing needs of them, since there are many.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use kube::api::ObjectMeta;

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

/// A service that clients dial by an address of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: Key,
    /// Its cluster IPs, the primary one first; none for a headless service.
    pub addresses: Vec<IpAddr>,
    /// Its TCP ports.
    pub ports: Vec<ServicePort>,
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
}

impl From<core::Service> for Service {
    fn from(service: core::Service) -> Self {
        let spec = service.spec.unwrap_or_default();
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
            ports: ports.collect(),
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

/// A pod behind a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The addresses, all of the slice's family.
    pub addresses: Vec<IpAddr>,
    /// Whether it wants traffic.
    pub ready: bool,
    /// The pod, if it is one.
    pub pod: Option<Key>,
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
        let endpoints = slice.endpoints.into_iter().map(|endpoint| Endpoint {
            addresses: endpoint
                .addresses
                .iter()
                .filter_map(|address| address.parse().ok())
                .collect(),
            // The API says that an endpoint of which nothing is known is to be taken as ready.
            ready: endpoint
                .conditions
                .and_then(|conditions| conditions.ready)
                .unwrap_or(true),
            pod: endpoint
                .target_ref
                .filter(|target| target.kind.as_deref() == Some("Pod"))
                .map(|target| {
                    Key::new(
                        target.namespace.as_deref().unwrap_or(&key.namespace),
                        target.name.as_deref().unwrap_or_default(),
                    )
                }),
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
