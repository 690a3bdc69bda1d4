//! DestinationRule, networking.istio.io: the subsets of a host and how requests are spread over its endpoints.
//! Field names and meanings are Istio's (`networking/v1alpha3/destination_rule.proto`); what is missing here is reported by `spec`.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Policies for what is sent to a host, after routing.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "DestinationRule",
    namespaced,
    shortname = "dr",
    category = "istio-io",
    category = "networking-istio-io",
    doc = "Configuration affecting load balancing, outlier detection, etc.",
    printcolumn(
        name = "Host",
        type_ = "string",
        json_path = ".spec.host",
        description = "The name of a service from the service registry"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRuleSpec {
    /// The service. A name without a dot is a service of this object's namespace.
    pub host: String,
    /// For the host and for subsets without a policy of their own.
    #[serde(default)]
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named parts of the service's endpoints.
    #[serde(default)]
    pub subsets: Vec<Subset>,
    /// The namespaces whose clients may use it: `*` (the default), `.` (its own) or names.
    #[serde(default)]
    pub export_to: Vec<String>,
}

/// The endpoints whose pods have all of these labels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subset {
    /// What routes call it.
    pub name: String,
    /// None at all: every endpoint.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Replaces the host's.
    #[serde(default)]
    pub traffic_policy: Option<TrafficPolicy>,
}

/// How requests are sent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// How an endpoint is picked.
    pub load_balancer: Option<LoadBalancerSettings>,
}

/// How an endpoint is picked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct LoadBalancerSettings {
    /// Without further settings.
    pub simple: Option<SimpleLb>,
}

/// Istio's algorithms without settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum SimpleLb {
    Unspecified,
    LeastConn,
    Random,
    Passthrough,
    RoundRobin,
    LeastRequest,
}
