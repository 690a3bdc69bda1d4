//! The cluster's pods by namespace and name, since what selects pods looks at those of one namespace; and where those are that no
//! Service selects.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;

use super::{Endpoint, EndpointSlice, Key, Pod};

/// By namespace, then by name; no namespace is empty.
#[derive(Debug, Default)]
pub(super) struct Pods(HashMap<String, HashMap<String, Pod>>);

impl Pods {
    pub(super) fn get(&self, key: &Key) -> Option<&Pod> {
        self.0.get(&key.namespace)?.get(&key.name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Pod> {
        self.0.values().flat_map(HashMap::values)
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Pod> {
        self.0.get(namespace).into_iter().flat_map(HashMap::values)
    }

    pub(super) fn insert(&mut self, pod: Pod) {
        let Key { namespace, name } = pod.key.clone();
        self.0.entry(namespace).or_default().insert(name, pod);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let Some(pods) = self.0.get_mut(&key.namespace) else {
            return false;
        };
        let known = pods.remove(&key.name).is_some();
        if pods.is_empty() {
            self.0.remove(&key.namespace);
        }
        known
    }
}

/// Where a pod is. Of pods that a Service selects its slices say it; a ServiceEntry may select others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodAddress {
    /// The pod.
    pub key: Key,
    /// None before it has one, and after it has ended.
    pub address: Option<IpAddr>,
    /// Whether it wants traffic.
    pub ready: bool,
    /// Whether it is about to end and still answers.
    pub ending: bool,
    /// Where it runs.
    pub node: Option<String>,
}

impl From<core::Pod> for PodAddress {
    fn from(pod: core::Pod) -> Self {
        let status = pod.status.unwrap_or_default();
        // The address of a pod that has ended may be another's.
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let address = status.pod_ip.filter(|_| !ended);
        let mut conditions = status.conditions.iter().flatten();
        let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let going = pod.metadata.deletion_timestamp.is_some();
        Self {
            key: Key::of(&pod.metadata),
            address: address.and_then(|address| address.parse().ok()),
            ready: ready && !going,
            ending: ready && going,
            node: pod.spec.and_then(|spec| spec.node_name),
        }
    }
}

impl PodAddress {
    /// A slice of no service, which has the pod's name behind a slash.
    pub(super) fn slice(self) -> EndpointSlice {
        EndpointSlice {
            key: Self::slice_of(&self.key),
            service: Key::new(&self.key.namespace, ""),
            ports: BTreeMap::new(),
            endpoints: vec![Endpoint {
                addresses: self.address.into_iter().collect(),
                ready: self.ready,
                ending: self.ending,
                node: self.node,
                pod: Some(self.key),
                ..Default::default()
            }],
        }
    }

    /// The name of the slice of a pod.
    pub(super) fn slice_of(pod: &Key) -> Key {
        Key::new(&pod.namespace, &format!("/{}", pod.name))
    }
}
