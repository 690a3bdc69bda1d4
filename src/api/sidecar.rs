//! Sidecar, networking.istio.io: which services the pods of a namespace see, and what becomes of everything else.
//! Field names and meanings are Istio's (`networking/v1alpha3/sidecar.proto`); what is missing here is reported by `spec`.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WorkloadSelector;

/// What a proxy is told of the mesh.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "Sidecar",
    namespaced,
    category = "istio-io",
    category = "networking-istio-io",
    doc = "Configuration affecting network reachability of a sidecar.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
pub struct SidecarSpec {
    /// Which pods of the namespace it is for; without it all of them that no other selects.
    pub workload_selector: Option<WorkloadSelector>,
    /// What they see; without it what the namespace's or the mesh's default says.
    pub egress: Vec<EgressListener>,
    /// What becomes of destinations that they do not see.
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
}

/// Services that are seen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct EgressListener {
    /// For connections to this port only.
    pub port: Option<EgressPort>,
    /// `NAMESPACE/HOST`: a namespace, `*`, `.` (this object's) or `~` (none), and a host, a wildcard or `*`.
    pub hosts: Vec<String>,
}

/// A port by number.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct EgressPort {
    /// What clients dial.
    pub number: u32,
    /// What is spoken there; the service's own declaration decides.
    pub protocol: Option<String>,
    /// For people.
    pub name: Option<String>,
}

/// What becomes of destinations that are not seen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct OutboundTrafficPolicy {
    /// Without it what the namespace's or the mesh's default says.
    pub mode: Option<OutboundMode>,
}

/// Through or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum OutboundMode {
    RegistryOnly,
    AllowAny,
}
