//! The chart's values as settings: what the chart's template `outrigger.settings` makes of them.
//! Before it: `outrigger inject --values`. After it: `settings`, which checks them.

use serde_json::{Map, Value, json};

use super::{Proxy, Settings, SettingsError};

/// The port of discovery on the control plane's Service.
const DISCOVERY_PORT: u16 = 15012;

/// Lists of ports, of which one alone is a number in YAML.
const PORTS: [&str; 4] = [
    "includeInboundPorts",
    "excludeInboundPorts",
    "includeOutboundPorts",
    "excludeOutboundPorts",
];

impl Settings {
    /// Reads a values file of the chart for a release in `namespace`. What it does not set has the chart's default; values
    /// that are not about injection are left out.
    ///
    /// # Errors
    /// Not YAML, or a field that is unknown or wrong, by the name that it has in the ConfigMap.
    pub fn from_values(text: &str, namespace: &str) -> Result<Self, SettingsError> {
        let values: Value =
            serde_saphyr::from_str(text).map_err(|error| SettingsError::Yaml(Box::new(error)))?;
        let mut settings = Map::new();
        let fields = [
            "clusterDomain",
            "meshRanges",
            "outboundTrafficPolicy",
            "injection",
            "proxy",
        ];
        for field in fields {
            if let Some(value) = values.get(field).filter(|value| !value.is_null()) {
                settings.insert(field.into(), value.clone());
            }
        }
        let revision = text_of(&values["revision"]);
        if let (Some(revision), Value::Object(injection)) = (revision, entry(&mut settings, "injection")) {
            injection.insert("revision".into(), revision.into());
        }
        if let Value::Object(proxy) = entry(&mut settings, "proxy") {
            let service = revision.map_or("outrigger".into(), |revision| format!("outrigger-{revision}"));
            let discovery = format!("{service}.{namespace}.svc:{DISCOVERY_PORT}");
            proxy.insert("discoveryAddress".into(), discovery.into());
            proxy.insert("image".into(), image(&values["image"]).into());
            if let Some(policy) = text_of(&values["image"]["pullPolicy"]) {
                proxy.insert("imagePullPolicy".into(), policy.into());
            }
            if proxy.get("nativeSidecar").is_some_and(|value| value == "auto") {
                proxy.shift_remove("nativeSidecar");
            }
            for field in PORTS {
                if let Some(port) = proxy.get(field).and_then(Value::as_u64) {
                    proxy.insert(field.into(), port.to_string().into());
                }
            }
            if let Some(given) = proxy.get("resources") {
                let mut resources = json!(Proxy::default().resources);
                merge(&mut resources, given);
                proxy.insert("resources".into(), resources);
            }
        }
        Self::parse(&Value::Object(settings).to_string())
    }
}

fn entry<'a>(settings: &'a mut Map<String, Value>, field: &str) -> &'a mut Value {
    settings.entry(field).or_insert_with(|| json!({}))
}

fn text_of(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// A digest beats the tag.
fn image(image: &Value) -> String {
    let default = Proxy::default().image;
    let (repository, tag) = default.rsplit_once(':').unwrap_or((&default, ""));
    let repository = text_of(&image["repository"]).unwrap_or(repository);
    match text_of(&image["digest"]) {
        Some(digest) => format!("{repository}@{digest}"),
        None => format!("{repository}:{}", text_of(&image["tag"]).unwrap_or(tag)),
    }
}

/// Helm's way with values: maps are merged, null takes a default away, all else replaces it.
fn merge(base: &mut Value, given: &Value) {
    match (base, given) {
        (Value::Object(base), Value::Object(given)) => {
            for (key, value) in given {
                match value {
                    Value::Null => drop(base.shift_remove(key)),
                    value => merge(base.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (base, given) => *base = given.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        Settings::from_values(text, "mesh").expect("settings")
    }

    #[test]
    fn values_are_read_as_the_chart_reads_them() {
        let settings = read(
            "
replicas: 3
revision: canary
image: {repository: registry.example/outrigger, tag: '1', pullPolicy: Always}
injection: {ignoredNamespaces: [infra]}
proxy: {uid: 2000, resources: {requests: {cpu: 5m}, limits: {memory: null}}}
",
        );
        assert_eq!(settings.injection.revision, "canary");
        assert_eq!(settings.injection.ignored_namespaces, ["infra"]);
        assert_eq!(settings.proxy.image, "registry.example/outrigger:1");
        assert_eq!(
            settings.proxy.image_pull_policy,
            super::super::ImagePullPolicy::Always
        );
        assert_eq!(
            settings.proxy.discovery_address,
            "outrigger-canary.mesh.svc:15012"
        );
        assert_eq!(settings.proxy.uid, 2000);
        let resources = json!(settings.proxy.resources);
        assert_eq!(resources, json!({"requests": {"cpu": "5m", "memory": "16Mi"}}));
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        for text in ["", "image: {tag: ''}\nproxy:\ninjection: ~\n"] {
            let settings = read(text);
            assert_eq!(settings.proxy.image, Proxy::default().image);
            assert_eq!(settings.proxy.discovery_address, "outrigger.mesh.svc:15012");
            assert_eq!(settings.injection.revision, "outrigger");
        }
        let digest = read("image: {digest: 'sha256:00'}");
        assert!(
            digest.proxy.image.ends_with("/outrigger@sha256:00"),
            "{}",
            digest.proxy.image
        );
    }

    #[test]
    fn the_charts_own_values_are_the_defaults() {
        let chart = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/outrigger/values.yaml");
        let values = std::fs::read_to_string(chart).expect("the chart's values");
        assert_eq!(format!("{:?}", read(&values)), format!("{:?}", read("")));
        let port = |text| format!("{:?}", read(text).proxy.exclude_inbound_ports);
        assert_eq!(
            port("proxy: {excludeInboundPorts: 8080}"),
            port("proxy: {excludeInboundPorts: '8080'}")
        );
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (text, field) in [
            ("proxy: {uid: 0}", "proxy.uid"),
            ("proxy: {colour: red}", "colour"),
            ("injection: []", "injection"),
        ] {
            let error = Settings::from_values(text, "mesh").expect_err(text).to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
