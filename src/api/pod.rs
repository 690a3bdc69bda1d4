//! A pod without what the control plane does not need, so that watching every pod of a cluster stays cheap.

use std::borrow::Cow;

use k8s_openapi::api::core::v1;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};

/// The same resource as `k8s_openapi`'s Pod, with fewer fields.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Pod {
    /// Name, namespace, labels, uid.
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: PodSpec,
    /// What was observed.
    #[serde(default)]
    pub status: PodStatus,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Who the pod is.
    pub service_account_name: Option<String>,
    /// A pod in the node's network shares its address with others.
    pub host_network: Option<bool>,
}

/// What was observed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: Option<String>,
    /// The first address, also in `pod_ips` once the kubelet has reported.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// One address of each family.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
}

/// One address.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct PodIp {
    /// IPv4 or IPv6.
    pub ip: String,
}

impl kube::Resource for Pod {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        <v1::Pod as kube::Resource>::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        <v1::Pod as kube::Resource>::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        <v1::Pod as kube::Resource>::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        <v1::Pod as kube::Resource>::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
