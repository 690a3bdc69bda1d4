//! Istio's `sidecar.istio.io/userVolume` and `userVolumeMount`: JSON objects by the volume's name. A part of `options`.

use serde_json::{Map, Value};

use super::reader::Reader;
use crate::inject::Refusal;
use crate::inject::sidecar::{CREDENTIALS, VOLUME};

const VOLUMES: &str = "sidecar.istio.io/userVolume";
const MOUNTS: &str = "sidecar.istio.io/userVolumeMount";

/// The volumes to add to the pod and the mounts to add to the proxy. A mount may also name a volume that the pod has.
pub(super) fn volumes(reader: &mut Reader) -> Result<(Vec<Value>, Vec<Value>), Refusal> {
    let example = "it must be a JSON object such as {\"certs\": {\"secret\": {\"secretName\": \"certs\"}}}";
    let volumes = by_name(reader, VOLUMES, example)?;
    let example =
        "it must be a JSON object such as {\"certs\": {\"mountPath\": \"/etc/certs\", \"readOnly\": true}}";
    let mounts = by_name(reader, MOUNTS, example)?;
    let text = |annotation| reader.pod.annotation(annotation).unwrap_or_default();
    let present: Vec<_> = reader.pod.all_volumes().map(|(_, name)| name).collect();
    for volume in &volumes {
        let name = volume["name"].as_str().unwrap_or_default();
        if present.contains(&name) || name == VOLUME {
            let expected = format!("it must have other names: the pod has a volume {name:?} already");
            return Err(reader.bad(VOLUMES, text(VOLUMES), &expected));
        }
    }
    for mount in &mounts {
        let (name, path) = (mount["name"].as_str(), mount["mountPath"].as_str());
        let name = name.unwrap_or_default();
        if !present.contains(&name) && !volumes.iter().any(|volume| volume["name"] == name) {
            let expected = format!(
                "it must have mounts of volumes that are there: the pod has no volume {name:?}, nor has {VOLUMES}"
            );
            return Err(reader.bad(MOUNTS, text(MOUNTS), &expected));
        }
        if path.is_none_or(|path| path.is_empty() || path.trim_end_matches('/') == CREDENTIALS) {
            let expected = format!("it must have mounts with a mountPath other than {CREDENTIALS}");
            return Err(reader.bad(MOUNTS, text(MOUNTS), &expected));
        }
    }
    Ok((volumes, mounts))
}

/// The entries of the object, each with its key as `name`. Istio's documents also show a list of named objects.
fn by_name(reader: &Reader, annotation: &'static str, example: &str) -> Result<Vec<Value>, Refusal> {
    let Some(text) = reader.pod.annotation(annotation) else {
        return Ok(vec![]);
    };
    let bad = || reader.bad(annotation, text, &example);
    let named = |name: Value, item: Value| match (name, item) {
        (Value::String(name), Value::Object(item)) if !name.is_empty() => {
            let mut named = Map::from_iter([("name".to_owned(), Value::String(name))]);
            named.extend(item.into_iter().filter(|(key, _)| key != "name"));
            Ok(Value::Object(named))
        }
        _ => Err(bad()),
    };
    match serde_json::from_str(text).map_err(|_| bad())? {
        Value::Object(items) => items
            .into_iter()
            .map(|(name, item)| named(name.into(), item))
            .collect(),
        Value::Array(items) => items
            .into_iter()
            .map(|item| named(item["name"].clone(), item))
            .collect(),
        _ => Err(bad()),
    }
}
