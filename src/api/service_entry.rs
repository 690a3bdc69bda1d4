//! ServiceEntry, networking.istio.io: services that are not Kubernetes', by hosts and addresses, and where they are.
//! Field names and meanings are Istio's (`networking/v1alpha3/service_entry.proto`).

#![allow(
    clippy::duplicated_attributes,
    reason = "two print columns are alike in their parts"
)]

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WorkloadEntrySpec;

/// Services by name, as clients dial them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "ServiceEntry",
    plural = "serviceentries",
    namespaced,
    shortname = "se",
    category = "istio-io",
    category = "networking-istio-io",
    doc = "Configuration affecting service registry.",
    printcolumn(
        name = "Hosts",
        type_ = "string",
        json_path = ".spec.hosts",
        description = "The hosts associated with the ServiceEntry"
    ),
    printcolumn(
        name = "Location",
        type_ = "string",
        json_path = ".spec.location",
        description = "Whether the service is external to the mesh or part of it"
    ),
    printcolumn(
        name = "Resolution",
        type_ = "string",
        json_path = ".spec.resolution",
        description = "How the endpoints are found"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntrySpec {
    /// What clients call it; `*.example.com` stands for every name that ends so.
    pub hosts: Vec<String>,
    /// Virtual addresses, IP addresses or CIDRs. Without any, the Host header or the SNI names the host.
    pub addresses: Vec<String>,
    /// What clients dial.
    pub ports: Vec<EntryPort>,
    /// Whether it is part of the mesh.
    pub location: Option<Location>,
    /// How the endpoints are found.
    pub resolution: Option<Resolution>,
    /// Where it is; not together with a selector.
    pub endpoints: Vec<WorkloadEntrySpec>,
    /// Pods and WorkloadEntries of this namespace that it is.
    pub workload_selector: Option<WorkloadSelector>,
    /// The namespaces whose clients see it: `*` (the default), `.` (its own) or names.
    pub export_to: Vec<String>,
    /// Names in the certificates of its endpoints.
    pub subject_alt_names: Vec<String>,
}

/// A port of the hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryPort {
    /// What clients dial.
    pub number: u32,
    /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS and others that Istio knows; without it the name says it.
    pub protocol: Option<String>,
    /// Unique in the object.
    pub name: String,
    /// The endpoints' port; the same number without it.
    pub target_port: Option<u32>,
}

/// Part of the mesh or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum Location {
    MeshExternal,
    MeshInternal,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "Istio's words, which its reference explains")]
pub enum Resolution {
    #[default]
    None,
    Static,
    Dns,
    DnsRoundRobin,
    DynamicDns,
}

/// Pods, or WorkloadEntries, by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct WorkloadSelector {
    /// All of them; none at all: everything of its kind in the namespace.
    pub labels: BTreeMap<String, String>,
}
