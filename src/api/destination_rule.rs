//! DestinationRule, networking.istio.io: the subsets of a host and how requests are sent to its endpoints.
//! Field names and meanings are Istio's (`networking/v1alpha3/destination_rule.proto`); what is missing here is reported by `spec`.

mod connection_pool;
mod load_balancer;
mod tls;
mod validation;

pub(crate) use validation::is_table_size;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use connection_pool::{
    ConnectionPoolSettings, H2UpgradePolicy, HttpSettings, OutlierDetection, TcpKeepalive, TcpSettings,
};
pub use load_balancer::{
    ConsistentHashLb, HttpCookie, LoadBalancerSettings, LocalityDistribute, LocalityFailover,
    LocalityLbSetting, Maglev, RingHash, SimpleLb, Warmup,
};
pub use tls::{ClientTlsSettings, TlsMode};

use super::virtual_service::PortSelector;

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
    /// For the host, and for subsets as far as they have none of their own.
    #[serde(default)]
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named parts of the service's endpoints.
    #[serde(default)]
    pub subsets: Vec<Subset>,
    /// The namespaces whose clients may use it: `*` (the default), `.` (its own) or names.
    #[serde(default)]
    pub export_to: Vec<String>,
    /// The pods, of this object's namespace, for whose requests it is.
    #[serde(default)]
    pub workload_selector: Option<LabelSelector>,
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
    /// Replaces the host's, field by field.
    #[serde(default)]
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Pods by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// All of them.
    pub match_labels: BTreeMap<String, String>,
}

/// How requests are sent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// How an endpoint is picked.
    pub load_balancer: Option<LoadBalancerSettings>,
    /// How many connections and requests there may be at a time.
    pub connection_pool: Option<ConnectionPoolSettings>,
    /// When an endpoint is left out for its failures.
    pub outlier_detection: Option<OutlierDetection>,
    /// How connections are encrypted.
    pub tls: Option<ClientTlsSettings>,
    /// For single ports, in place of all of the above.
    pub port_level_settings: Vec<PortTrafficPolicy>,
    /// Not supported: TCP through an HTTP proxy.
    pub tunnel: Option<TunnelSettings>,
    /// Not supported: PROXY protocol towards the endpoints.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many of the requests at a time may be retries.
    pub retry_budget: Option<RetryBudget>,
}

/// How requests to one port are sent. What it leaves out is the default, and not the host's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PortTrafficPolicy {
    /// The service's port.
    pub port: Option<PortSelector>,
    /// How an endpoint is picked.
    pub load_balancer: Option<LoadBalancerSettings>,
    /// How many connections and requests there may be at a time.
    pub connection_pool: Option<ConnectionPoolSettings>,
    /// When an endpoint is left out for its failures.
    pub outlier_detection: Option<OutlierDetection>,
    /// How connections are encrypted.
    pub tls: Option<ClientTlsSettings>,
}

/// TCP through an HTTP proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TunnelSettings {
    /// CONNECT or POST.
    pub protocol: String,
    /// Where the tunnel leads.
    pub target_host: String,
    /// Where the tunnel leads.
    pub target_port: u32,
}

/// PROXY protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ProxyProtocol {
    /// V1 or V2.
    pub version: Option<String>,
}

/// A limit for retries that grows with the requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// Of the requests under way; 20 by default.
    pub percent: Option<f64>,
    /// Always allowed; 3 by default.
    pub min_retry_concurrency: Option<u32>,
}
