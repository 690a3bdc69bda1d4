//! WorkloadEntry, networking.istio.io: one endpoint that is no pod, such as a virtual machine. ServiceEntries list such
//! endpoints themselves, or select objects of this kind by their labels.
//! Field names and meanings are Istio's (`networking/v1alpha3/workload_entry.proto`).

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One endpoint.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "WorkloadEntry",
    plural = "workloadentries",
    namespaced,
    shortname = "we",
    category = "istio-io",
    category = "networking-istio-io",
    doc = "Configuration affecting VMs onboarded into the mesh.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".spec.address",
        description = "Address associated with the network endpoint."
    )
)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntrySpec {
    /// An IP address, or a name if the ServiceEntry's resolution is DNS.
    pub address: String,
    /// Its ports, by the names of the ServiceEntry's.
    pub ports: BTreeMap<String, u32>,
    /// What ServiceEntries and subsets select it by. An object's own labels come on top of them.
    pub labels: BTreeMap<String, String>,
    /// Of Istio's networks, for gateways between them.
    pub network: Option<String>,
    /// Where it is: `region/zone/subzone`.
    pub locality: Option<String>,
    /// Its share, relative to the others.
    pub weight: Option<u32>,
    /// Whose identity it has.
    pub service_account: Option<String>,
}
