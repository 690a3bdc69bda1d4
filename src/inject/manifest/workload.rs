//! Where the pod template is in each kind of workload, and what replaced the API versions that are no longer served.
//! Before it: `document`. After it: `inject`, with the template.

use json_patch::{AddOperation, PatchOperation, RemoveOperation, jsonptr::PointerBuf};
use serde_json::Value;

use crate::api;
use crate::inject::Refusal;
use crate::inject::pod::malformed;

/// An object that makes pods.
pub(super) struct Workload {
    /// The object's place in its document, a JSON pointer: empty unless it is in a List.
    pub(super) at: String,
    /// Kind, namespace and name, for messages.
    pub(super) title: String,
    /// The namespace that the object names, empty if it leaves that to the command that creates it.
    pub(super) namespace: String,
    /// The workload's name, which names its pods' service; none for a Pod, which has its own.
    pub(super) owner: Option<String>,
    /// The path of the pod template, empty for a Pod.
    pub(super) path: &'static str,
    version: String,
    kind: String,
    /// The version that is served today; none for kinds that Kubernetes does not have itself.
    served: Option<&'static str>,
}

/// What makes an object of a removed version one of a version that is served today.
pub(super) struct Upgrade {
    /// With paths from the top of the object.
    pub(super) operations: Vec<PatchOperation>,
    /// What that changes.
    pub(super) note: String,
}

/// Group, kind, the version that is served, and where the template is.
const KINDS: [(&str, &str, &str, &str); 13] = [
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
    // OpenShift's, which was of the core group before it had its own.
    (
        "apps.openshift.io",
        "DeploymentConfig",
        "apps.openshift.io/v1",
        "spec.template",
    ),
    ("", "DeploymentConfig", "v1", "spec.template"),
];

/// Where a custom resource that makes pods has its template, as Argo's Rollout does.
const CUSTOM: &str = "spec.template";

/// Knative writes the pods of its Services itself, and refuses what it does not know in their templates.
const KNATIVE: &str = "serving.knative.dev";

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

/// The workloads of a document: the object that it is, or those in it if it is a List, or a List of Lists.
pub(super) fn find(document: &Value) -> Vec<Workload> {
    let mut found = vec![];
    search(document, String::new(), ("", ""), &mut found);
    found
}

/// `implied` is the version and kind of objects that do not say their own, as those in a DeploymentList need not.
fn search(object: &Value, at: String, implied: (&str, &str), found: &mut Vec<Workload>) {
    let version = object["apiVersion"].as_str().unwrap_or(implied.0);
    let kind = object["kind"].as_str().unwrap_or(implied.1);
    match api::items(object, (version, kind)) {
        Some((items, implied)) => {
            for (index, item) in items.iter().enumerate() {
                search(item, format!("{at}/items/{index}"), implied, found);
            }
        }
        None => found.extend(Workload::of(object, at, version, kind)),
    }
}

impl Workload {
    /// The workload that an object is, or `None` if it makes no pods.
    fn of(object: &Value, at: String, version: &str, kind: &str) -> Option<Self> {
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let known = KINDS
            .iter()
            .find(|(its, name, ..)| *its == group && *name == kind);
        let (served, path) = match known {
            Some((_, _, served, path)) => (Some(*served), *path),
            None if is_custom(object, group) => (None, CUSTOM),
            None => return None,
        };
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
            at,
            title,
            namespace: text("namespace").unwrap_or_default().into(),
            owner: name
                .filter(|_| kind != "Pod")
                .map(|name| name.trim_end_matches('-').into()),
            path,
            version: version.into(),
            kind: kind.into(),
            served,
        })
    }

    /// Where the pod template is in the document, a JSON pointer.
    pub(super) fn pointer(&self) -> String {
        let fields = self.path.split('.').filter(|field| !field.is_empty());
        fields.fold(self.at.clone(), |at, field| at + "/" + field)
    }

    /// The pod template of the document's object, or the pod.
    pub(super) fn template<'a>(&self, document: &'a Value) -> Result<&'a Value, Refusal> {
        let mut value = document.pointer(&self.at).unwrap_or(&Value::Null);
        let mut end = 0;
        for field in self.path.split('.').filter(|field| !field.is_empty()) {
            end += field.len() + usize::from(end > 0);
            let path = &self.path[..end];
            value = match value.get(field) {
                Some(found) if found.is_object() => found,
                found => return Err(malformed(path, found, "an object")),
            };
        }
        Ok(value)
    }

    /// What makes the object one of the version that is served today, if its own is not.
    pub(super) fn upgrade(&self, document: &Value) -> Result<Option<Upgrade>, Refusal> {
        let version = &self.version;
        let Some(served) = self.served.filter(|_| REMOVED.contains(&version.as_str())) else {
            return Ok(None);
        };
        let object = document.pointer(&self.at).unwrap_or(&Value::Null);
        let mut note = format!("{version} is no longer served, written as {served}");
        let mut operations = vec![add(&["apiVersion"], served.into())];
        if served == "apps/v1" && !object["spec"]["selector"].is_object() {
            let labels = &self.template(document)?["metadata"]["labels"];
            let usable = labels.as_object().is_some_and(|labels| !labels.is_empty());
            if !usable || !object["spec"]["selector"].is_null() {
                let expected = "labels by which this workload knows its pods";
                let found = Some(labels).filter(|labels| !labels.is_null());
                return Err(malformed("spec.template.metadata.labels", found, expected));
            }
            // The old versions took it by default.
            let selector = serde_json::json!({"matchLabels": labels});
            operations.push(add(&["spec", "selector"], selector));
            note += " with spec.selector from the labels of its template";
        }
        for field in REMOVED_FIELDS {
            if object["spec"].get(field).is_some() {
                let path = PointerBuf::from_tokens(["spec", field]);
                operations.push(PatchOperation::Remove(RemoveOperation { path }));
                note += &format!(" without spec.{field}, which is gone");
            }
        }
        note += self.defaults_that_differ(object);
        Ok(Some(Upgrade { operations, note }))
    }

    /// The old versions' StatefulSets and DaemonSets waited for pods to be deleted by hand, unless told otherwise.
    fn defaults_that_differ(&self, object: &Value) -> &'static str {
        let on_delete = matches!(
            (self.version.as_str(), self.kind.as_str()),
            ("extensions/v1beta1", "DaemonSet") | ("apps/v1beta1", "StatefulSet")
        );
        match on_delete && object["spec"]["updateStrategy"]["type"].is_null() {
            true => "; its default updateStrategy was OnDelete and is RollingUpdate now",
            false => "",
        }
    }
}

/// A custom resource's group has a dot, and one that makes pods has their containers where a Deployment has them.
fn is_custom(object: &Value, group: &str) -> bool {
    let containers = &object["spec"]["template"]["spec"]["containers"];
    group.contains('.') && group != KNATIVE && containers.as_array().is_some_and(|list| !list.is_empty())
}

/// The operation on an object that is at the pointer `at`.
pub(super) fn moved(at: &str, mut operation: PatchOperation) -> PatchOperation {
    let moved = |path: &mut PointerBuf| {
        // Both are pointers, and one after the other is one too.
        if let Ok(whole) = PointerBuf::parse(format!("{at}{path}")) {
            *path = whole;
        }
    };
    match &mut operation {
        PatchOperation::Add(operation) => moved(&mut operation.path),
        PatchOperation::Remove(operation) => moved(&mut operation.path),
        PatchOperation::Replace(operation) => moved(&mut operation.path),
        PatchOperation::Test(operation) => moved(&mut operation.path),
        PatchOperation::Move(operation) => {
            moved(&mut operation.from);
            moved(&mut operation.path);
        }
        PatchOperation::Copy(operation) => {
            moved(&mut operation.from);
            moved(&mut operation.path);
        }
    }
    operation
}

fn add(path: &[&str], value: Value) -> PatchOperation {
    let path = PointerBuf::from_tokens(path.iter().copied());
    PatchOperation::Add(AddOperation { path, value })
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

    fn only(object: &Value) -> Workload {
        let mut found = find(object);
        assert_eq!(found.len(), 1, "{object}");
        found.remove(0)
    }

    fn upgraded(object: &mut Value) -> Option<String> {
        let upgrade = only(object).upgrade(object).expect("upgraded")?;
        json_patch::patch(object, &json_patch::Patch(upgrade.operations)).expect("applied");
        Some(upgrade.note)
    }

    #[test]
    fn every_kind_is_found_by_group_and_kind() {
        for (_, kind, served, path) in KINDS {
            let object = workload(served, kind);
            let found = only(&object);
            assert_eq!(found.path, path);
            let template = found.template(&object).expect(kind);
            assert_eq!(template["spec"]["containers"][0]["name"], "a", "{kind}");
            assert_eq!(object.pointer(&found.pointer()), Some(template));
            assert!(found.upgrade(&object).expect(kind).is_none(), "{kind}");
        }
        assert_eq!(
            only(&workload("argoproj.io/v1alpha1", "Rollout")).title,
            "Rollout a"
        );
        for (version, kind) in [
            ("v1", "Service"),
            ("serving.knative.dev/v1", "Service"),
            ("example/v1", "Deployment"),
            ("v1", "Deployment"),
            ("", "Pod "),
        ] {
            assert!(find(&workload(version, kind)).is_empty(), "{version} {kind}");
        }
        let without =
            json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"workloadRef": {}}});
        assert!(find(&without).is_empty());
    }

    #[test]
    fn lists_are_searched_for_workloads() {
        let deployment = workload("apps/v1", "Deployment");
        let mut bare = deployment.clone();
        bare.as_object_mut()
            .expect("an object")
            .retain(|key, _| key != "kind" && key != "apiVersion");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            workload("v1", "Service"),
            {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [bare, deployment]},
            {"apiVersion": "v1", "kind": "List", "items": [workload("v1", "Pod"), {"kind": "List"}, 1]},
        ]});
        let found: Vec<_> = find(&list).into_iter().map(|found| found.pointer()).collect();
        let expected = [
            "/items/1/items/0/spec/template",
            "/items/1/items/1/spec/template",
            "/items/2/items/0",
        ];
        assert_eq!(found, expected);
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
            let note = upgraded(&mut object).expect("a note");
            assert!(note.contains(said), "{note}");
            assert_eq!(object["apiVersion"], served);
            if served == "apps/v1" {
                assert_eq!(object["spec"]["selector"], json!({"matchLabels": {"app": "a"}}));
            }
        }
    }

    #[test]
    fn a_selector_that_is_there_stays() {
        let mut object = workload("apps/v1beta2", "Deployment");
        object["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
        object["spec"]["rollbackTo"] = json!({"revision": 0});
        let note = upgraded(&mut object).expect("a note");
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
            let refusal = only(&object).upgrade(&object).err().expect("refused").to_string();
            assert_eq!(refusal, message);
        }
    }
}
