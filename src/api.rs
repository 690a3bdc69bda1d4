//! Istio's own resources as far as they are honoured, how they are read, and their CustomResourceDefinitions.
//! Before: `control::watch` and `control::directory` read objects with these types. After: `control::world` keeps them.

mod crds;
mod destination_rule;
mod spec;
mod virtual_service;

pub use crds::{crds, crds_yaml};
pub use destination_rule::{
    DestinationRule, DestinationRuleSpec, LoadBalancerSettings, SimpleLb, Subset, TrafficPolicy,
};
pub use spec::{InvalidField, Unsupported, read, read_spec};
pub use virtual_service::{
    Destination, HttpMatchRequest, HttpRoute, HttpRouteDestination, PortSelector, StringMatch,
    VirtualService, VirtualServiceSpec,
};
