//! The chart against the types it is made for: its CRDs are those of the code, its default values are the code's, and its
//! schema has a word on each of them.
//! `BLESS=1 cargo test` writes the CRDs anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use outrigger::api::crds_yaml;
use outrigger::settings::Settings;
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("charts/outrigger")
        .join(name)
}

fn yaml(name: &str) -> Value {
    let text = std::fs::read_to_string(file(name)).expect("a file of the chart");
    serde_saphyr::from_str(&text).expect("YAML")
}

#[test]
fn its_crds_are_those_of_the_code() {
    let found = crds_yaml().expect("YAML");
    let path = file("files/crds.yaml");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &found).expect("written");
    }
    let expected = std::fs::read_to_string(&path).expect("the chart's CRDs");
    assert!(
        found == expected,
        "{} is not what `outrigger crds` prints: `just bless` writes it anew",
        path.display()
    );
}

#[test]
fn its_default_values_are_the_settings_defaults() {
    let (mut values, chart) = (yaml("values.yaml"), yaml("Chart.yaml"));
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    // As the template outrigger.settings puts them together, for the namespace of the walk-through.
    assert_eq!(values["revision"], "");
    values["injection"]["revision"] = "outrigger".into();
    let proxy = values["proxy"].as_object_mut().expect("an object");
    assert_eq!(proxy.remove("nativeSidecar"), Some("auto".into()));
    let mut settings = serde_json::json!({
        "clusterDomain": values["clusterDomain"],
        "meshRanges": values["meshRanges"],
        "outboundTrafficPolicy": values["outboundTrafficPolicy"],
        "injection": values["injection"],
        "proxy": values["proxy"],
    });
    let image = format!(
        "{}:{}",
        text(&values["image"]["repository"]),
        text(&chart["appVersion"])
    );
    settings["proxy"]["image"] = image.into();
    settings["proxy"]["imagePullPolicy"] = values["image"]["pullPolicy"].clone();
    settings["proxy"]["discoveryAddress"] = "outrigger.outrigger-system.svc:15012".into();

    let settings = Settings::parse(&settings.to_string()).expect("settings");
    assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    assert_eq!(text(&chart["version"]), env!("CARGO_PKG_VERSION"));
}

#[test]
fn its_schema_knows_its_values_and_no_others() {
    let (values, schema) = (yaml("values.yaml"), yaml("values.schema.json"));
    compare("", &values, &schema, &schema);
}

/// Every field of `values` is a property in `schema`, and every property but Helm's own is there with its default.
fn compare(at: &str, values: &Value, schema: &Value, root: &Value) {
    let reference = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'));
    let schema = reference.map_or(schema, |pointer| root.pointer(pointer).expect("a definition"));
    // Maps with free keys and lists of Kubernetes' own types end here.
    let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object()) else {
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{at:?} is open");
    let described = properties.keys().filter(|key| *key != "global");
    let (described, given): (BTreeSet<_>, BTreeSet<_>) = (described.collect(), values.keys().collect());
    assert_eq!(described, given, "{at:?}");
    for (key, value) in values {
        compare(&format!("{at}/{key}"), value, &properties[key], root);
    }
}
