//! Where the pod template is in each kind of workload, and what replaced the API versions that are no longer served.
//! Before it: `document`. After it: `inject`, with the template.

use serde_json::{Map, Value};

use crate::inject::Refusal;
use crate::inject::pod::malformed;

/// An object that makes pods.
pub(super) struct Workload {
    /// Kind, namespace and name, for messages.
    pub(super) title: String,
    /// The namespace that the object names, empty if it leaves that to the command that creates it.
    pub(super) namespace: String,
    /// The workload's name, which names its pods' service; none for a Pod, which has its own.
    pub(super) owner: Option<String>,
    /// The path of the pod template, empty for a Pod.
    pub(super) path: &'static str,
    served: &'static str,
    kind: &'static str,
}

/// Group, kind, the version that is served, and where the template is.
const KINDS: [(&str, &str, &str, &str); 11] = [
    ("", "Pod", "v1", ""),
    ("", "ReplicationController", "v1", "spec.template"),
    ("apps", "Deployment", "apps/v1", "spec.template"),
    ("apps", "DaemonSet", "apps/v1", "spec.template"),
    ("apps", "ReplicaSet", "apps/v1", "spec.template"),
    ("apps", "StatefulSet", "apps/v1", "spec.template"),
    ("extensions", "Deployment", "apps/v1", "spec.template"),
    ("extensions", "DaemonSet", "apps/v1", "spec.template"),
    ("extensions", "ReplicaSet", "apps/v1", "spec.template"),
    ("batch", "Job", "batch/v1", "spec.template"),
    ("batch", "CronJob", "batch/v1", "spec.jobTemplate.spec.template"),
];

/// Versions that Kubernetes removed: extensions/v1beta1, apps/v1beta1 and apps/v1beta2 in 1.16, CronJobs of batch/v1beta1 in 1.25.
const REMOVED: [&str; 5] = [
    "extensions/v1beta1",
    "apps/v1beta1",
    "apps/v1beta2",
    "batch/v1beta1",
    "batch/v2alpha1",
];

/// Fields that the removed versions had and the served ones do not.
const REMOVED_FIELDS: [&str; 2] = ["rollbackTo", "templateGeneration"];

/// Whether the object is a List, whose items are objects of their own.
pub(super) fn is_list(object: &Value) -> bool {
    object["kind"] == "List" && object["apiVersion"] == "v1"
}

impl Workload {
    /// The workload that an object is, or `None` if it makes no pods.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let version = object["apiVersion"].as_str()?;
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let found = object["kind"].as_str()?;
        let (_, kind, served, path) = *KINDS
            .iter()
            .find(|(its, kind, ..)| *its == group && *kind == found)?;
        let text = |field| {
            object["metadata"][field]
                .as_str()
                .filter(|text: &&str| !text.is_empty())
        };
        let name = text("name").or(text("generateName"));
        let title = match (text("namespace"), name.unwrap_or("(no name)")) {
            (Some(namespace), name) => format!("{kind} {namespace}/{name}"),
            (None, name) => format!("{kind} {name}"),
        };
        Some(Self {
            title,
            namespace: text("namespace").unwrap_or_default().into(),
            owner: name
                .filter(|_| kind != "Pod")
                .map(|name| name.trim_end_matches('-').into()),
            path,
            served,
            kind,
        })
    }

    /// The pod template, or the pod.
    pub(super) fn template<'a>(&self, object: &'a mut Value) -> Result<&'a mut Value, Refusal> {
        let mut value = object;
        let mut end = 0;
        for field in self.path.split('.').filter(|field| !field.is_empty()) {
            end += field.len() + usize::from(end > 0);
            let path = &self.path[..end];
            value = match value.get_mut(field) {
                Some(found) if found.is_object() => found,
                found => return Err(malformed(path, found.as_deref(), "an object")),
            };
        }
        Ok(value)
    }

    /// Makes the object one of the version that is served today, if its own is not, and says what that changed.
    pub(super) fn upgrade(&self, object: &mut Value) -> Result<Option<String>, Refusal> {
        let version = object["apiVersion"].as_str().unwrap_or_default().to_string();
        if !REMOVED.contains(&version.as_str()) {
            return Ok(None);
        }
        let mut note = format!("{version} is no longer served, written as {}", self.served);
        if self.served == "apps/v1" {
            let labels = self.template(object)?["metadata"]["labels"].clone();
            let spec = object["spec"].as_object_mut();
            if spec.is_some_and(|spec| add_selector(spec, &labels)) {
                note += " with spec.selector from the labels of its template";
            }
            if !object["spec"]["selector"].is_object() {
                let expected = "labels by which this workload knows its pods";
                let found = Some(&labels).filter(|labels| !labels.is_null());
                return Err(malformed("spec.template.metadata.labels", found, expected));
            }
        }
        object["apiVersion"] = self.served.into();
        if let Some(spec) = object["spec"].as_object_mut() {
            for field in REMOVED_FIELDS {
                if spec.shift_remove(field).is_some() {
                    note += &format!(" without spec.{field}, which is gone");
                }
            }
        }
        note += self.defaults_that_differ(&version, object);
        Ok(Some(note))
    }

    /// The old versions' StatefulSets and DaemonSets waited for pods to be deleted by hand, unless told otherwise.
    fn defaults_that_differ(&self, version: &str, object: &Value) -> &'static str {
        let on_delete = matches!(
            (version, self.kind),
            ("extensions/v1beta1", "DaemonSet") | ("apps/v1beta1", "StatefulSet")
        );
        match on_delete && object["spec"]["updateStrategy"]["type"].is_null() {
            true => "; its default updateStrategy was OnDelete and is RollingUpdate now",
            false => "",
        }
    }
}

/// Adds the selector that the old versions took by default: the template's labels.
fn add_selector(spec: &mut Map<String, Value>, labels: &Value) -> bool {
    let absent = spec.get("selector").is_none_or(Value::is_null);
    let usable = labels.as_object().is_some_and(|labels| !labels.is_empty());
    if !absent || !usable {
        return false;
    }
    spec.shift_remove("selector");
    let place = spec
        .keys()
        .position(|key| key == "template")
        .unwrap_or(spec.len());
    let selector = serde_json::json!({"matchLabels": labels});
    spec.shift_insert(place, "selector".into(), selector);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workload(version: &str, kind: &str) -> Value {
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a"}]}});
        let metadata = json!({"name": "a"});
        match kind {
            "Pod" => {
                json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": template["spec"]})
            }
            "CronJob" => json!({"apiVersion": version, "kind": kind, "metadata": metadata,
                "spec": {"jobTemplate": {"spec": {"template": template}}}}),
            _ => {
                json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {"replicas": 1, "template": template}})
            }
        }
    }

    #[test]
    fn every_kind_is_found_by_group_and_kind() {
        for (_, kind, served, path) in KINDS {
            let mut object = workload(served, kind);
            let found = Workload::of(&object).expect(kind);
            assert_eq!(found.path, path);
            let template = found.template(&mut object).expect(kind);
            assert_eq!(template["spec"]["containers"][0]["name"], "a", "{kind}");
            assert_eq!(found.upgrade(&mut object).expect(kind), None, "{kind}");
        }
        for (version, kind) in [
            ("v1", "Service"),
            ("batch.volcano.sh/v1alpha1", "Job"),
            ("v1", "Deployment"),
            ("", "Pod "),
        ] {
            assert!(
                Workload::of(&workload(version, kind)).is_none(),
                "{version} {kind}"
            );
        }
    }

    #[test]
    fn removed_versions_become_served_ones() {
        let table = [
            ("extensions/v1beta1", "Deployment", "apps/v1", "selector from"),
            ("extensions/v1beta1", "DaemonSet", "apps/v1", "OnDelete"),
            ("extensions/v1beta1", "ReplicaSet", "apps/v1", "selector from"),
            ("apps/v1beta1", "Deployment", "apps/v1", "selector from"),
            ("apps/v1beta1", "StatefulSet", "apps/v1", "OnDelete"),
            ("apps/v1beta2", "DaemonSet", "apps/v1", "selector from"),
            ("batch/v1beta1", "CronJob", "batch/v1", "written as batch/v1"),
        ];
        for (version, kind, served, said) in table {
            let mut object = workload(version, kind);
            let found = Workload::of(&object).expect(kind);
            let note = found.upgrade(&mut object).expect(kind).expect("a note");
            assert!(note.contains(said), "{note}");
            assert_eq!(object["apiVersion"], served);
            if served == "apps/v1" {
                assert_eq!(object["spec"]["selector"], json!({"matchLabels": {"app": "a"}}));
                let keys: Vec<_> = object["spec"].as_object().expect("a spec").keys().collect();
                assert_eq!(keys, ["replicas", "selector", "template"]);
            }
        }
    }

    #[test]
    fn a_selector_that_is_there_stays() {
        let mut object = workload("apps/v1beta2", "Deployment");
        object["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
        object["spec"]["rollbackTo"] = json!({"revision": 0});
        let found = Workload::of(&object).expect("a workload");
        let note = found.upgrade(&mut object).expect("upgraded").expect("a note");
        assert!(
            !note.contains("selector") && note.contains("rollbackTo"),
            "{note}"
        );
        assert_eq!(
            object["spec"]["selector"],
            json!({"matchLabels": {"app": "other"}})
        );
        assert!(object["spec"].get("rollbackTo").is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        let table = [
            (json!({}), "spec is missing; it must be an object"),
            (
                json!({"spec": {}}),
                "spec.template is missing; it must be an object",
            ),
            (
                json!({"spec": {"template": []}}),
                "spec.template is an empty list; it must be an object",
            ),
            (
                json!({"spec": {"template": {"metadata": {}}}}),
                "spec.template.metadata.labels is missing; it must be labels by which this workload knows its pods",
            ),
        ];
        for (mut object, message) in table {
            object["apiVersion"] = "extensions/v1beta1".into();
            object["kind"] = "Deployment".into();
            let found = Workload::of(&object).expect("a workload");
            let refusal = found.upgrade(&mut object).expect_err("refused").to_string();
            assert_eq!(refusal, message);
        }
    }
}
