//! Istio's own resources as far as they are honoured, how they are read, and their CustomResourceDefinitions.
//! Before: `control::watch` and `control::directory` read objects with these types. After: `control::world` keeps them.

mod crds;
mod destination_rule;
mod duration;
mod kinds;
mod list;
pub mod names;
mod service_entry;
mod sidecar;
mod spec;
mod virtual_service;
mod workload_entry;

pub use crds::{crds, crds_yaml};
pub(crate) use destination_rule::is_table_size;
pub use destination_rule::{
    ClientTlsSettings, ConnectionPoolSettings, ConsistentHashLb, DestinationRule, DestinationRuleSpec,
    H2UpgradePolicy, HttpCookie, HttpSettings, LabelSelector, LoadBalancerSettings, LocalityDistribute,
    LocalityFailover, LocalityLbSetting, Maglev, OutlierDetection, PortTrafficPolicy, ProxyProtocol,
    RetryBudget, RingHash, SimpleLb, Subset, TcpKeepalive, TcpSettings, TlsMode, TrafficPolicy,
    TunnelSettings, Warmup,
};
pub use duration::parse_duration;
pub(crate) use kinds::IstioKind;
pub(crate) use list::items;
pub use service_entry::{EntryPort, Location, Resolution, ServiceEntry, ServiceEntrySpec, WorkloadSelector};
pub use sidecar::{EgressListener, EgressPort, OutboundMode, OutboundTrafficPolicy, Sidecar, SidecarSpec};
pub use spec::{Findings, InvalidField, Unsupported, read, read_spec};
pub(crate) use virtual_service::is_for_mesh;
pub use virtual_service::{
    Abort, CorsPolicy, Delay, Delegate, DerivePort, Destination, HeaderOperations, Headers, HttpBody,
    HttpDirectResponse, HttpFaultInjection, HttpMatchRequest, HttpMirrorPolicy, HttpRedirect, HttpRetry,
    HttpRewrite, HttpRoute, HttpRouteDestination, L4MatchAttributes, Percent, PortSelector, RegexRewrite,
    RetryOn, RouteDestination, StringMatch, TcpRoute, TlsMatchAttributes, TlsRoute, UnmatchedPreflights,
    VirtualService, VirtualServiceSpec, retry_on,
};
pub use workload_entry::{WorkloadEntry, WorkloadEntrySpec};
