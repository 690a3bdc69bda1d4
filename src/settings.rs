//! What an operator can set, read from one YAML document (the ConfigMap `outrigger`). Every field has a default.
//! Before it: the file named on the command line. After it: `inject` and `control`, which only read it.

mod quantity;

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use quantity::is_quantity;

/// Everything that can be set. Field names are camelCase in YAML, unknown ones are refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The domain that Service names end in.
    pub cluster_domain: String,
    /// Where an address of the mesh can be (pods, Services, ServiceEntries); all others go through without asking.
    pub mesh_ranges: Vec<IpNet>,
    /// Which pods get a proxy.
    pub injection: Injection,
    /// What the proxy's containers look like.
    pub proxy: Proxy,
}

/// Which pods get a proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Injection {
    /// The value of the label `istio.io/rev` that selects this installation.
    pub revision: String,
    /// Namespaces in which no pod is ever changed. The controller adds its own.
    pub ignored_namespaces: Vec<String>,
}

/// What the proxy's containers look like.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Proxy {
    /// The image of both containers.
    pub image: String,
    /// When the kubelet pulls the image.
    pub image_pull_policy: ImagePullPolicy,
    /// User and group id of the proxy, which is what iptables exempt. No container of an application may run with it.
    pub uid: u32,
    /// A tracing filter, such as `info` or `outrigger_proxy=debug`.
    pub log_level: String,
    /// How long requests in flight may take to finish after SIGTERM, in seconds.
    pub drain_seconds: u32,
    /// Where proxies find the control plane, `host:port`.
    pub discovery_address: String,
    /// Resources of the proxy; giving any replaces all of the default.
    pub resources: Resources,
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
        expected: &'static str,
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
            injection: Injection::default(),
            proxy: Proxy::default(),
        }
    }
}

impl Default for Injection {
    fn default() -> Self {
        let ignored = [
            "kube-system",
            "kube-public",
            "kube-node-lease",
            "local-path-storage",
        ];
        Self {
            revision: "outrigger".into(),
            ignored_namespaces: ignored.map(String::from).into(),
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
            drain_seconds: 25,
            discovery_address: "outrigger.outrigger-system.svc:15012".into(),
            resources: Resources {
                requests: amounts(&[("cpu", "10m"), ("memory", "16Mi")]),
                limits: amounts(&[("memory", "256Mi")]),
            },
        }
    }
}

fn amounts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, amount)| (name.to_string(), amount.to_string()))
        .collect()
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
        let proxy = &self.proxy;
        let refuse = |field: &str, value: &dyn ToString, expected| {
            Err(SettingsError::Value {
                field: field.into(),
                value: value.to_string(),
                expected,
            })
        };
        if !is_domain(&self.cluster_domain) {
            return refuse(
                "clusterDomain",
                &self.cluster_domain,
                "a DNS name such as cluster.local",
            );
        }
        if self.injection.revision.is_empty() {
            return refuse("injection.revision", &"", "a value of the label istio.io/rev");
        }
        if proxy.image.is_empty() {
            return refuse("proxy.image", &"", "an image reference");
        }
        if proxy.uid == 0 {
            return refuse("proxy.uid", &0, "a user id above 0: the proxy never runs as root");
        }
        if !is_host_and_port(&proxy.discovery_address) {
            let expected = "host:port, such as outrigger.outrigger-system.svc:15012";
            return refuse("proxy.discoveryAddress", &proxy.discovery_address, expected);
        }
        for (kind, amounts) in [
            ("requests", &proxy.resources.requests),
            ("limits", &proxy.resources.limits),
        ] {
            if let Some((name, amount)) = amounts.iter().find(|(_, amount)| !is_quantity(amount)) {
                let field = format!("proxy.resources.{kind}.{name}");
                return refuse(&field, amount, "a Kubernetes quantity such as 10m or 64Mi");
            }
        }
        Ok(())
    }
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

fn is_host_and_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
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
            ("clusterDomain: 'a b'", "clusterDomain"),
            ("injection: {revision: ''}", "injection.revision"),
        ];
        for (text, field) in table {
            let error = Settings::parse(text).expect_err(text).to_string();
            assert!(error.contains(field), "{text}: {error}");
        }
    }
}
