//! What an operator can set, read from one YAML document (the ConfigMap `outrigger`). Every field has a default.
//! Before it: the file named on the command line. After it: `inject` and `control`, which only read it.

mod injection;
mod proxy;
mod quantity;
mod values;

use ipnet::IpNet;
use serde::Deserialize;

pub use injection::{Injection, Policy, Selectors};
pub use proxy::{AccessLog, CaptureBy, ImagePullPolicy, Proxy, Resources};
pub(crate) use quantity::Quantity;

use crate::api::OutboundMode;

/// The key of the chart's ConfigMap that has them.
pub(crate) const KEY: &str = "config.yaml";

/// Everything that can be set. Field names are camelCase in YAML, unknown ones are refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The domain that Service names end in.
    pub cluster_domain: String,
    /// Where an address of the mesh can be (pods, Services, ServiceEntries); all others go through without asking.
    pub mesh_ranges: Vec<IpNet>,
    /// What becomes of destinations that a pod does not see, where no Sidecar says it.
    pub outbound_traffic_policy: OutboundTrafficPolicy,
    /// Which pods get a proxy.
    pub injection: Injection,
    /// What the proxy's containers look like.
    pub proxy: Proxy,
}

/// Istio's `meshConfig.outboundTrafficPolicy`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OutboundTrafficPolicy {
    /// ALLOW_ANY: they are reached as without a mesh. REGISTRY_ONLY: they are not.
    pub mode: OutboundMode,
}

impl Default for OutboundTrafficPolicy {
    fn default() -> Self {
        Self {
            mode: OutboundMode::AllowAny,
        }
    }
}

/// Why settings are refused; each names the field.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not YAML, an unknown field or a value of another type.
    #[error("{0}")]
    Yaml(Box<serde_saphyr::Error>),
    /// A value of the right type that cannot work.
    #[error("{field} is {value:?}; it must be {expected}")]
    Value {
        /// The field's path from the top of the document.
        field: String,
        /// What was found.
        value: String,
        /// What would be right.
        expected: String,
    },
}

impl Default for Settings {
    fn default() -> Self {
        let ranges = [
            "10.0.0.0/8",
            "100.64.0.0/10",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",
        ];
        Self {
            cluster_domain: "cluster.local".into(),
            mesh_ranges: ranges.iter().filter_map(|range| range.parse().ok()).collect(),
            outbound_traffic_policy: OutboundTrafficPolicy::default(),
            injection: Injection::default(),
            proxy: Proxy::default(),
        }
    }
}

impl Settings {
    /// Reads one YAML document; an empty one gives the defaults.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings: Self =
            serde_saphyr::from_str(text).map_err(|error| SettingsError::Yaml(Box::new(error)))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if !is_domain(&self.cluster_domain) {
            let expected = "a DNS name such as cluster.local";
            return refuse("clusterDomain", &self.cluster_domain, expected);
        }
        self.injection.check()?;
        self.proxy.check()
    }
}

fn refuse(
    field: &str,
    value: &(impl ToString + ?Sized),
    expected: impl Into<String>,
) -> Result<(), SettingsError> {
    Err(SettingsError::Value {
        field: field.into(),
        value: value.to_string(),
        expected: expected.into(),
    })
}

fn is_domain(name: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_gives_the_defaults() {
        let settings = Settings::parse("").expect("defaults");
        assert_eq!(settings.proxy.uid, 1337);
        assert_eq!(settings.mesh_ranges.len(), 5);
        assert!(
            settings
                .injection
                .ignored_namespaces
                .contains(&"kube-system".to_string())
        );
    }

    #[test]
    fn fields_are_read() {
        let text = "
clusterDomain: example.org
meshRanges: [10.96.0.0/12]
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
injection: {revision: canary, ignoredNamespaces: [infra]}
proxy:
  image: registry.example/outrigger:1
  imagePullPolicy: Never
  resources: {requests: {cpu: 1, memory: 1e6}}
";
        let settings = Settings::parse(text).expect("settings");
        assert_eq!(settings.cluster_domain, "example.org");
        assert_eq!(
            settings.mesh_ranges,
            ["10.96.0.0/12".parse::<IpNet>().expect("range")]
        );
        assert_eq!(settings.outbound_traffic_policy.mode, OutboundMode::RegistryOnly);
        assert_eq!(settings.injection.revision, "canary");
        assert_eq!(settings.injection.ignored_namespaces, ["infra"]);
        assert_eq!(settings.proxy.image_pull_policy, ImagePullPolicy::Never);
        assert_eq!(settings.proxy.resources.requests["cpu"], "1");
        assert!(settings.proxy.resources.limits.is_empty());
    }

    #[test]
    fn an_error_names_the_field() {
        let table = [
            ("proxi: {}", "proxi"),
            ("proxy: {colour: red}", "colour"),
            ("proxy: {uid: many}", "uid"),
            ("proxy: {uid: -1}", "uid"),
            ("proxy: {uid: 0}", "proxy.uid"),
            ("proxy: {image: ''}", "proxy.image"),
            ("proxy: {imagePullPolicy: Sometimes}", "Sometimes"),
            ("proxy: {discoveryAddress: outrigger}", "proxy.discoveryAddress"),
            (
                "proxy: {discoveryAddress: 'outrigger:99999'}",
                "proxy.discoveryAddress",
            ),
            (
                "proxy: {resources: {limits: {memory: lots}}}",
                "proxy.resources.limits.memory",
            ),
            ("meshRanges: [10.0.0.0/40]", "meshRanges"),
            ("outboundTrafficPolicy: {mode: DENY}", "DENY"),
            ("outboundTrafficPolicy: {egressProxy: {}}", "egressProxy"),
            ("clusterDomain: 'a b'", "clusterDomain"),
            ("injection: {revision: ''}", "injection.revision"),
            ("injection: {policy: sometimes}", "sometimes"),
            (
                "injection: {neverInjectSelector: [{matchExpressions: [{key: a, operator: Near}]}]}",
                "neverInjectSelector",
            ),
            ("proxy: {capture: cni}", "cni"),
            ("proxy: {excludeOutboundPorts: '80-90'}", "excludeOutboundPorts"),
            (
                "proxy: {includeOutboundIPRanges: nowhere}",
                "includeOutboundIPRanges",
            ),
        ];
        for (text, field) in table {
            let error = Settings::parse(text).expect_err(text).to_string();
            assert!(error.contains(field), "{text}: {error}");
        }
    }
}
