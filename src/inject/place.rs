//! Places in a pod that stay right when others add to its lists: fields with dots between them and, in brackets, the name
//! of a list's item or the key of a map, as in `spec.containers[app].livenessProbe`.

use json_patch::jsonptr::PointerBuf;
use serde_json::Value;

/// The JSON pointer of a place, if there is such a place in the pod.
pub(super) fn pointer(pod: &Value, place: &str) -> Option<PointerBuf> {
    let (mut value, mut path) = (pod, PointerBuf::new());
    let mut rest = place;
    while !rest.is_empty() {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        if end > 0 {
            let (field, after) = rest.split_at(end);
            path.push_back(field);
            value = value.get(field)?;
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (key, after) = after.split_once(']')?;
            value = match value {
                Value::Array(items) => {
                    let index = items.iter().position(|item| item["name"] == key)?;
                    path.push_back(index);
                    &items[index]
                }
                map => {
                    path.push_back(key);
                    map.get(key)?
                }
            };
            rest = after;
        } else {
            rest = &rest[1..];
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_found_by_name() {
        let pod = json!({
            "metadata": {"annotations": {"prometheus.io/port": "80"}},
            "spec": {"containers": [{"name": "a"}, {"name": "b", "livenessProbe": {"httpGet": {}}}], "volumes": null},
        });
        let table = [
            ("metadata", Some("/metadata")),
            (
                "metadata.annotations[prometheus.io/port]",
                Some("/metadata/annotations/prometheus.io~1port"),
            ),
            ("metadata.annotations[other]", None),
            (
                "spec.containers[b].livenessProbe",
                Some("/spec/containers/1/livenessProbe"),
            ),
            ("spec.containers[a].livenessProbe", None),
            ("spec.containers[c]", None),
            ("spec.containers[b", None),
            ("spec.volumes", Some("/spec/volumes")),
            ("spec.volumes[a]", None),
        ];
        for (place, expected) in table {
            let found = pointer(&pod, place).map(|pointer| pointer.to_string());
            assert_eq!(found.as_deref(), expected, "{place}");
        }
    }
}
