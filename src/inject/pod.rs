//! A view of a pod's raw JSON: the few fields that injection reads, each checked once. All else stays unread.
//! After it: `decide`, `sidecar` and `patch`, which can then not meet a field of the wrong type.

use serde_json::{Map, Value};

use super::Refusal;

/// A pod, or the pod template of a workload. `None` where a field is absent or null.
pub(super) struct Pod<'a> {
    /// The path of this pod in the object that it comes from, such as `spec.template`; empty for a Pod.
    pub(super) at: String,
    pub(super) metadata: Option<&'a Map<String, Value>>,
    /// Whether `metadata` is there, as null.
    pub(super) metadata_is_null: bool,
    pub(super) labels: Option<&'a Map<String, Value>>,
    pub(super) annotations: Option<&'a Map<String, Value>>,
    pub(super) spec: &'a Map<String, Value>,
    pub(super) containers: &'a [Value],
    pub(super) init_containers: Option<&'a [Value]>,
    pub(super) volumes: Option<&'a [Value]>,
    pub(super) host_network: bool,
}

impl<'a> Pod<'a> {
    pub(super) fn read(value: &'a Value, at: &str) -> Result<Self, Refusal> {
        let top = value
            .as_object()
            .ok_or_else(|| malformed(at, Some(value), "an object"))?;
        let path = |field: &str| join(at, field);
        let metadata = object(top, "metadata", &path("metadata"))?;
        let within = |field| metadata.map_or(Ok(None), |map| strings(map, field, &path("metadata")));
        let spec = object(top, "spec", &path("spec"))?
            .ok_or_else(|| malformed(&path("spec"), None, "an object with the pod's containers"))?;
        let containers = named(spec, "containers", &path("spec"))?.unwrap_or_default();
        if containers.is_empty() {
            let found = spec.get("containers");
            let expected = "a list of at least one container";
            return Err(malformed(&path("spec.containers"), found, expected));
        }
        let host_network = match spec.get("hostNetwork") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => *value,
            other => return Err(malformed(&path("spec.hostNetwork"), other, "true or false")),
        };
        Ok(Self {
            at: at.into(),
            metadata,
            metadata_is_null: top.get("metadata").is_some_and(Value::is_null),
            labels: within("labels")?,
            annotations: within("annotations")?,
            spec,
            containers,
            init_containers: named(spec, "initContainers", &path("spec"))?,
            volumes: named(spec, "volumes", &path("spec"))?,
            host_network,
        })
    }

    /// A field's path in the object that the pod comes from.
    pub(super) fn path(&self, field: &str) -> String {
        join(&self.at, field)
    }

    pub(super) fn label(&self, key: &str) -> Option<&'a str> {
        self.labels?.get(key)?.as_str()
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&'a str> {
        self.annotations?.get(key)?.as_str()
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let labels = self.labels.into_iter().flatten();
        labels.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    /// Whether it says that it is for Windows: `spec.os`, or the well-known node label.
    pub(super) fn runs_windows(&self) -> bool {
        let text = |field: &str, key: &str| self.spec.get(field)?.get(key)?.as_str();
        text("os", "name") == Some("windows") || text("nodeSelector", "kubernetes.io/os") == Some("windows")
    }

    /// All containers with their paths, init containers first.
    pub(super) fn all_containers(&self) -> impl Iterator<Item = (String, &'a str)> {
        let init = self.entries("spec.initContainers", self.init_containers.unwrap_or_default());
        init.chain(self.entries("spec.containers", self.containers))
    }

    /// All volumes with their paths.
    pub(super) fn all_volumes(&self) -> impl Iterator<Item = (String, &'a str)> {
        self.entries("spec.volumes", self.volumes.unwrap_or_default())
    }

    fn entries(&self, field: &str, list: &'a [Value]) -> impl Iterator<Item = (String, &'a str)> + use<'a> {
        let at = join(&self.at, field);
        list.iter()
            .enumerate()
            .map(move |(index, item)| (format!("{at}[{index}]"), name(item)))
    }
}

/// The name of an entry that [`named`] has checked.
pub(super) fn name(item: &Value) -> &str {
    item["name"].as_str().unwrap_or_default()
}

fn join(at: &str, field: &str) -> String {
    match at {
        "" => field.into(),
        _ => format!("{at}.{field}"),
    }
}

fn object<'a>(
    parent: &'a Map<String, Value>,
    field: &str,
    path: &str,
) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    match parent.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        other => Err(malformed(path, other, "an object")),
    }
}

/// A map of strings: labels or annotations.
fn strings<'a>(
    parent: &'a Map<String, Value>,
    field: &str,
    parent_path: &str,
) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    let path = join(parent_path, field);
    let map = object(parent, field, &path)?;
    match map.into_iter().flatten().find(|(_, value)| !value.is_string()) {
        Some((key, value)) => Err(malformed(
            &format!("{path}[{key:?}]"),
            Some(value),
            "a string; quote it",
        )),
        None => Ok(map),
    }
}

/// A list of objects that each have a name: containers or volumes.
fn named<'a>(
    parent: &'a Map<String, Value>,
    field: &str,
    parent_path: &str,
) -> Result<Option<&'a [Value]>, Refusal> {
    let path = join(parent_path, field);
    let list = match parent.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        other => return Err(malformed(&path, other, "a list")),
    };
    for (index, item) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let map = item
            .as_object()
            .ok_or_else(|| malformed(&path, Some(item), "an object"))?;
        match map.get("name") {
            Some(Value::String(name)) if !name.is_empty() => {}
            other => return Err(malformed(&format!("{path}.name"), other, "a name")),
        }
    }
    Ok(Some(list))
}

/// The refusal of a field that is not what it must be.
pub(super) fn malformed(path: &str, found: Option<&Value>, expected: &'static str) -> Refusal {
    let found = match found {
        None => "missing".into(),
        Some(Value::Null) => "null".into(),
        Some(Value::Bool(value)) => format!("the boolean {value}"),
        Some(Value::Number(value)) => format!("the number {value}"),
        Some(Value::String(value)) => format!("the string {:?}", value.chars().take(60).collect::<String>()),
        Some(Value::Array(list)) if list.is_empty() => "an empty list".into(),
        Some(Value::Array(_)) => "a list".into(),
        Some(Value::Object(_)) => "an object".into(),
    };
    let path = match path {
        "" => "the pod",
        _ => path,
    };
    Refusal::Malformed {
        path: path.into(),
        found,
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_malformed_pod_is_refused_by_field() {
        let table = [
            (json!([]), "the pod is an empty list; it must be an object"),
            (
                json!({}),
                "spec is missing; it must be an object with the pod's containers",
            ),
            (json!({"spec": 1}), "spec is the number 1; it must be an object"),
            (
                json!({"spec": {}}),
                "spec.containers is missing; it must be a list of at least one container",
            ),
            (
                json!({"spec": {"containers": []}}),
                "spec.containers is an empty list; it must be a list of at least one container",
            ),
            (
                json!({"spec": {"containers": {}}}),
                "spec.containers is an object; it must be a list",
            ),
            (
                json!({"spec": {"containers": [1]}}),
                "spec.containers[0] is the number 1; it must be an object",
            ),
            (
                json!({"spec": {"containers": [{}]}}),
                "spec.containers[0].name is missing; it must be a name",
            ),
            (
                json!({"spec": {"containers": [{"name": "a"}], "initContainers": "b"}}),
                "spec.initContainers is the string \"b\"; it must be a list",
            ),
            (
                json!({"spec": {"containers": [{"name": "a"}], "hostNetwork": "yes"}}),
                "spec.hostNetwork is the string \"yes\"; it must be true or false",
            ),
            (
                json!({"metadata": {"labels": ["a"]}, "spec": {"containers": [{"name": "a"}]}}),
                "metadata.labels is a list; it must be an object",
            ),
            (
                json!({"metadata": {"labels": {"version": 1}}, "spec": {"containers": [{"name": "a"}]}}),
                "metadata.labels[\"version\"] is the number 1; it must be a string; quote it",
            ),
            (
                json!({"metadata": {"annotations": {"a/b": null}}, "spec": {"containers": [{"name": "a"}]}}),
                "metadata.annotations[\"a/b\"] is null; it must be a string; quote it",
            ),
        ];
        for (pod, message) in table {
            let refusal = Pod::read(&pod, "").err().map(|refusal| refusal.to_string());
            assert_eq!(refusal.as_deref(), Some(message), "{pod}");
        }
    }

    #[test]
    fn a_path_starts_where_the_template_is() {
        let template = json!({"spec": {"containers": null}});
        let refusal = Pod::read(&template, "spec.template").err().expect("refused");
        assert!(
            refusal
                .to_string()
                .starts_with("spec.template.spec.containers is null"),
            "{refusal}"
        );
    }
}
