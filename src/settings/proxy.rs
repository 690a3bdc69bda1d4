//! What the proxy's containers look like, as far as an operator decides it. A part of `settings`; a pod's annotations can
//! say otherwise for most of it: `inject::options` puts the two together.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use outrigger_proxy::init::capture::{InboundPorts, Interfaces, Ports, Ranges};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Quantity, SettingsError, refuse};

/// What the proxy's containers look like.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Proxy {
    /// The image of both containers.
    pub image: String,
    /// When the kubelet pulls the image.
    pub image_pull_policy: ImagePullPolicy,
    /// User and group id of the proxy, which is what iptables exempt. A pod whose own containers run with it gets another.
    pub uid: u32,
    /// A tracing filter, such as `info` or `outrigger_proxy=debug`.
    pub log_level: String,
    /// Whether and how each request is a line on the proxy's standard output.
    pub access_log: AccessLog,
    /// How long requests in flight may take to finish after SIGTERM, in seconds.
    pub drain_seconds: u32,
    /// Where proxies find the control plane, `host:port`.
    pub discovery_address: String,
    /// Resources of the proxy; giving any replaces all of the default.
    pub resources: Resources,
    /// Whether the proxy is an init container that keeps running (Kubernetes 1.29) or an ordinary container; if absent, the
    /// controller asks the API server for its version.
    pub native_sidecar: Option<bool>,
    /// Whether an ordinary container's proxy is waited for before the application starts. A native one always is.
    pub hold_application_until_proxy_starts: bool,
    /// Whether the kubelet's probes go through the proxy, so that nothing else has to be exempt.
    pub rewrite_app_probes: bool,
    /// Whether a scrape of the proxy has the application's metrics too.
    pub merge_metrics: bool,
    /// Who sets iptables up.
    pub capture: CaptureBy,
    /// Ports on which incoming connections are captured: `*`, or a list.
    #[serde(deserialize_with = "text")]
    pub include_inbound_ports: InboundPorts,
    /// Ports on which they are not.
    #[serde(deserialize_with = "text")]
    pub exclude_inbound_ports: Ports,
    /// Ports to which outgoing connections are captured, whatever the ranges say.
    #[serde(deserialize_with = "text")]
    pub include_outbound_ports: Ports,
    /// Ports to which they are not.
    #[serde(deserialize_with = "text")]
    pub exclude_outbound_ports: Ports,
    /// Addresses to which outgoing connections are captured: `*`, or a list of CIDRs.
    #[serde(rename = "includeOutboundIPRanges", deserialize_with = "text")]
    pub include_outbound_ip_ranges: Ranges,
    /// Addresses to which they are not.
    #[serde(rename = "excludeOutboundIPRanges", deserialize_with = "text")]
    pub exclude_outbound_ip_ranges: Ranges,
    /// Network interfaces of the pod whose traffic is not captured.
    #[serde(deserialize_with = "text")]
    pub exclude_interfaces: Interfaces,
}

/// Who sets iptables up.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum CaptureBy {
    /// The init container, which needs NET_ADMIN for it.
    #[default]
    Init,
    /// Something else, such as a CNI plugin; the init container only looks whether it was done.
    External,
}

impl FromStr for CaptureBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "init" => Ok(Self::Init),
            "external" => Ok(Self::External),
            _ => Err("it must be init or external"),
        }
    }
}

impl Display for CaptureBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "init",
            Self::External => "external",
        })
    }
}

/// The values that Kubernetes knows for `imagePullPolicy`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[allow(missing_docs)]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// Kubernetes resources: amounts by resource name, such as `cpu: 10m`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// What the scheduler sets aside.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
    /// What may not be exceeded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
}

/// How requests are logged.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// Not at all.
    #[default]
    Off,
    /// As Envoy's default format has it.
    Text,
    /// With Istio's names of the fields.
    Json,
}

impl AccessLog {
    /// As the proxy reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            image: concat!("ghcr.io/outrigger-mesh/outrigger:", env!("CARGO_PKG_VERSION")).into(),
            image_pull_policy: ImagePullPolicy::IfNotPresent,
            uid: 1337,
            log_level: "info".into(),
            access_log: AccessLog::default(),
            drain_seconds: 25,
            discovery_address: "outrigger.outrigger-system.svc:15012".into(),
            resources: Resources {
                requests: amounts(&[("cpu", "10m"), ("memory", "16Mi")]),
                limits: amounts(&[("memory", "256Mi")]),
            },
            native_sidecar: None,
            hold_application_until_proxy_starts: true,
            rewrite_app_probes: true,
            merge_metrics: true,
            capture: CaptureBy::default(),
            include_inbound_ports: InboundPorts::All,
            exclude_inbound_ports: Ports::default(),
            include_outbound_ports: Ports::default(),
            exclude_outbound_ports: Ports::default(),
            include_outbound_ip_ranges: Ranges::All,
            exclude_outbound_ip_ranges: Ranges::none(),
            exclude_interfaces: Interfaces::default(),
        }
    }
}

/// A list that is written as text, as in the annotations.
fn text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(de::Error::custom)
}

fn amounts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, amount)| (name.to_string(), amount.to_string()))
        .collect()
}

impl Proxy {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.image.is_empty() {
            return refuse("proxy.image", "", "an image reference");
        }
        if self.uid == 0 {
            let expected = "a user id above 0: the proxy never runs as root";
            return refuse("proxy.uid", "0", expected);
        }
        if !is_host_and_port(&self.discovery_address) {
            let expected = "host:port, such as outrigger.outrigger-system.svc:15012";
            return refuse("proxy.discoveryAddress", &self.discovery_address, expected);
        }
        for (kind, amounts) in [
            ("requests", &self.resources.requests),
            ("limits", &self.resources.limits),
        ] {
            if let Some((name, amount)) = amounts
                .iter()
                .find(|(_, amount)| amount.parse::<Quantity>().is_err())
            {
                let field = format!("proxy.resources.{kind}.{name}");
                return refuse(&field, amount, "a Kubernetes quantity such as 10m or 64Mi");
            }
        }
        Ok(())
    }
}

fn is_host_and_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}
