//! What `watch` and `directory` say to the world.

use super::{EndpointSlice, Key, Namespace, Node, Pod, PodAddress, Rule, Service};
use crate::api::{DestinationRuleSpec, ServiceEntrySpec, SidecarSpec, VirtualServiceSpec, WorkloadEntrySpec};

/// One thing that happened.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "an event is moved once and never kept")]
pub enum Event {
    /// An object came or changed.
    Apply(Object),
    /// An object went; namespaced by the key, or with an empty namespace.
    Delete(Kind, Key),
    /// All objects of a kind: what is not among them is gone.
    Replace(Kind, Vec<Object>),
}

/// The kinds of objects that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(
    missing_docs,
    reason = "Kubernetes' and Istio's names, but for PodAddress, which is a part of a pod"
)]
pub enum Kind {
    Namespace,
    Node,
    Pod,
    Service,
    EndpointSlice,
    PodAddress,
    WorkloadEntry,
    ServiceEntry,
    DestinationRule,
    VirtualService,
    Sidecar,
}

impl Kind {
    /// Every kind, in an order in which what is named comes before what names it.
    pub const ALL: [Self; 11] = [
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::PodAddress,
        Self::WorkloadEntry,
        Self::ServiceEntry,
        Self::DestinationRule,
        Self::VirtualService,
        Self::Sidecar,
    ];
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// An object of one of the kinds.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each holds what it is called")]
pub enum Object {
    Namespace(Namespace),
    Node(Node),
    Pod(Pod),
    Service(Service),
    EndpointSlice(EndpointSlice),
    PodAddress(PodAddress),
    VirtualService(Rule<VirtualServiceSpec>),
    DestinationRule(Box<Rule<DestinationRuleSpec>>),
    ServiceEntry(Box<Rule<ServiceEntrySpec>>),
    WorkloadEntry(Box<Rule<WorkloadEntrySpec>>),
    Sidecar(Rule<SidecarSpec>),
}

impl Object {
    /// Which of the kinds.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::PodAddress(_) => Kind::PodAddress,
            Self::VirtualService(_) => Kind::VirtualService,
            Self::DestinationRule(_) => Kind::DestinationRule,
            Self::ServiceEntry(_) => Kind::ServiceEntry,
            Self::WorkloadEntry(_) => Kind::WorkloadEntry,
            Self::Sidecar(_) => Kind::Sidecar,
        }
    }

    /// Namespace and name.
    pub fn key(&self) -> Key {
        match self {
            Self::Namespace(namespace) => Key::new("", &namespace.name),
            Self::Node(node) => Key::new("", &node.name),
            Self::Pod(pod) => pod.key.clone(),
            Self::Service(service) => service.key.clone(),
            Self::EndpointSlice(slice) => slice.key.clone(),
            Self::PodAddress(pod) => pod.key.clone(),
            Self::VirtualService(rule) => rule.meta.key.clone(),
            Self::DestinationRule(rule) => rule.meta.key.clone(),
            Self::ServiceEntry(rule) => rule.meta.key.clone(),
            Self::WorkloadEntry(rule) => rule.meta.key.clone(),
            Self::Sidecar(rule) => rule.meta.key.clone(),
        }
    }
}
