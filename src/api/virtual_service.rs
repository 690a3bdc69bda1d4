//! VirtualService, networking.istio.io: where a host's requests go, by their content and by the pod that sends them.
//! Field names and meanings are Istio's (`networking/v1alpha3/virtual_service.proto`); what is missing here is reported by `spec`.

#![allow(
    clippy::duplicated_attributes,
    reason = "two print columns are alike in their parts"
)]

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}

/// One rule: conditions, and where the requests that hold go.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct HttpRoute {
    /// A name for logs.
    pub name: Option<String>,
    /// Any of these must hold; none at all: every request.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatchRequest>,
    /// Weighted destinations.
    pub route: Vec<HttpRouteDestination>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatchRequest {
    /// A name for logs.
    pub name: Option<String>,
    /// The request's path and query.
    pub uri: Option<StringMatch>,
    /// By header name; an empty condition asks only that the header is there.
    pub headers: BTreeMap<String, StringMatch>,
    /// The port that the client dialled.
    pub port: Option<u16>,
    /// Labels that the sending pod must have.
    pub source_labels: BTreeMap<String, String>,
    /// The namespace that the sending pod must be in.
    pub source_namespace: Option<String>,
    /// Gateways this condition is for; replaces those of the object. With it, sourceLabels and sourceNamespace are not looked at.
    pub gateways: Vec<String>,
}

/// Exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct StringMatch {
    /// The whole value.
    pub exact: Option<String>,
    /// How the value begins.
    pub prefix: Option<String>,
    /// RE2 syntax, the whole value, 1,024 characters at most.
    pub regex: Option<String>,
}

/// One weighted destination of a route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct HttpRouteDestination {
    /// Where to.
    pub destination: Destination,
    /// The share of requests, relative to the sum of the route's weights. A single destination gets everything.
    #[serde(default)]
    pub weight: u32,
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
