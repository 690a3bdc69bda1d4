//! VirtualService, networking.istio.io: where a host's requests go, by their content and by the pod that sends them.
//! Field names and meanings are Istio's (`networking/v1alpha3/virtual_service.proto`); what is not known here is reported by `spec`.

#![allow(
    clippy::duplicated_attributes,
    reason = "two print columns are alike in their parts"
)]

mod actions;
mod http;
mod l4;
mod matches;
mod validation;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use actions::{
    Abort, CorsPolicy, Delay, DerivePort, HttpBody, HttpDirectResponse, HttpFaultInjection, HttpRedirect,
    HttpRetry, HttpRewrite, Percent, RegexRewrite, RetryOn, UnmatchedPreflights, retry_on,
};
pub use http::{Delegate, HeaderOperations, Headers, HttpMirrorPolicy, HttpRoute, HttpRouteDestination};
pub use l4::{L4MatchAttributes, RouteDestination, TcpRoute, TlsMatchAttributes, TlsRoute};
pub use matches::{HttpMatchRequest, StringMatch};
pub(crate) use validation::is_for_mesh;

/// The rules for the hosts it names.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "VirtualService",
    namespaced,
    shortname = "vs",
    category = "istio-io",
    category = "networking-istio-io",
    doc = "Configuration affecting traffic routing.",
    printcolumn(
        name = "Gateways",
        type_ = "string",
        json_path = ".spec.gateways",
        description = "The names of gateways and sidecars that should apply these routes"
    ),
    printcolumn(
        name = "Hosts",
        type_ = "string",
        json_path = ".spec.hosts",
        description = "The destination hosts to which traffic is being sent"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceSpec {
    /// The hosts whose traffic is routed. A name without a dot is a service of this object's namespace.
    pub hosts: Vec<String>,
    /// Where the rules apply: `mesh` is every sidecar, and the default.
    pub gateways: Vec<String>,
    /// The namespaces whose clients may use it: `*` (the default), `.` (its own) or names.
    pub export_to: Vec<String>,
    /// Rules for HTTP, the first that matches wins.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS that is passed through, the first that matches wins.
    pub tls: Vec<TlsRoute>,
    /// Rules for opaque TCP, the first that matches wins.
    pub tcp: Vec<TcpRoute>,
}

impl VirtualServiceSpec {
    /// Every destination that it names, mirrors included.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let http = self.http.iter().flat_map(HttpRoute::destinations);
        let tls = self.tls.iter().flat_map(|tls| &tls.route);
        let tcp = self.tcp.iter().flat_map(|tcp| &tcp.route);
        http.chain(tls.chain(tcp).map(|to| &to.destination))
    }

    /// The same, to be changed.
    pub fn destinations_mut(&mut self) -> impl Iterator<Item = &mut Destination> {
        let http = self.http.iter_mut().flat_map(HttpRoute::destinations_mut);
        let tls = self.tls.iter_mut().flat_map(|tls| &mut tls.route);
        let tcp = self.tcp.iter_mut().flat_map(|tcp| &mut tcp.route);
        http.chain(tls.chain(tcp).map(|to| &mut to.destination))
    }
}

/// A service, or a subset of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Destination {
    /// The service. A name without a dot is a service of this object's namespace.
    pub host: String,
    /// A subset that a DestinationRule for the host defines.
    #[serde(default)]
    pub subset: Option<String>,
    /// The port; can be left out where the service has only one, or to keep the port that the client dialled.
    #[serde(default)]
    pub port: Option<PortSelector>,
}

/// A port by number.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct PortSelector {
    /// The service's port.
    pub number: u16,
}
