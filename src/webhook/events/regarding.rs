//! The object that an Event is about. A pod that is being created has no uid yet, but who creates it has.
//! Before it: the raw pod of a review. After it: `series`.

use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::Value;

/// An object in a namespace.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Regarding {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// None for a pod that does not exist yet. Kubernetes takes such an Event, and `kubectl events --for pod/NAME` finds
    /// it by the name.
    pub(super) uid: Option<String>,
}

impl Regarding {
    /// The owner that controls the pod, else its first owner, else the pod itself by its name.
    pub(super) fn of(namespace: &str, pod: &Value) -> Option<Self> {
        let metadata = &pod["metadata"];
        let owners = metadata["ownerReferences"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let controls = owners.iter().find(|owner| owner["controller"] == true);
        let owner = controls.or(owners.first()).and_then(|owner| {
            let text = |field: &str| {
                owner[field]
                    .as_str()
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned)
            };
            Some(Self {
                api_version: text("apiVersion")?,
                kind: text("kind")?,
                namespace: namespace.to_owned(),
                name: text("name")?,
                uid: Some(text("uid")?),
            })
        });
        owner.or_else(|| {
            let name = metadata["name"].as_str().filter(|name| !name.is_empty())?;
            Some(Self {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                uid: None,
            })
        })
    }

    pub(super) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.api_version.clone()),
            kind: Some(self.kind.clone()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: self.uid.clone(),
            ..ObjectReference::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_about_who_exists() {
        let owner = |name: &str, controller: Value| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": "7", "controller": controller});
        let table = [
            (json!({"generateName": "web-"}), None),
            (json!({"name": "web"}), Some("v1 Pod shop/web -")),
            (
                json!({"generateName": "web-1-", "ownerReferences": [owner("web-1", json!(true))]}),
                Some("apps/v1 ReplicaSet shop/web-1 7"),
            ),
            (
                json!({"ownerReferences": [owner("a", json!(false)), owner("b", json!(true))]}),
                Some("apps/v1 ReplicaSet shop/b 7"),
            ),
            (
                json!({"ownerReferences": [owner("a", Value::Null)]}),
                Some("apps/v1 ReplicaSet shop/a 7"),
            ),
            (
                json!({"name": "web", "ownerReferences": [{"kind": "ReplicaSet", "name": "a"}]}),
                Some("v1 Pod shop/web -"),
            ),
            (json!({"name": "", "ownerReferences": "none"}), None),
        ];
        for (metadata, expected) in table {
            let found = Regarding::of("shop", &json!({"metadata": metadata})).map(|it| {
                let uid = it.uid.as_deref().unwrap_or("-");
                format!(
                    "{} {} {}/{} {uid}",
                    it.api_version, it.kind, it.namespace, it.name
                )
            });
            assert_eq!(found.as_deref(), expected, "{metadata}");
        }
    }
}
