//! The namespaces of the cluster, as injection and the webhooks' selectors see them. Pure.
//! Before it: `cluster`, which read them. After it: `webhooks`, `installation` and the audit, which ask for their labels.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::control::world::Namespace;
use crate::settings::Injection;
use crate::trust::Names;

/// Labels by the names of their namespaces.
pub(super) type Labelled = BTreeMap<String, BTreeMap<String, String>>;

/// Every namespace by its name.
#[derive(Default)]
pub(super) struct Namespaces {
    all: BTreeMap<String, Namespace>,
    ending: BTreeSet<String>,
}

impl Namespaces {
    /// From the list of the API server.
    pub(super) fn new(listed: &[Value]) -> Self {
        let mut namespaces = Self::default();
        for value in listed {
            let metadata = serde_json::from_value::<ObjectMeta>(value["metadata"].clone());
            let namespace = Namespace::from(metadata.unwrap_or_default());
            if value["status"]["phase"] == "Terminating" {
                namespaces.ending.insert(namespace.name.clone());
            }
            namespaces.all.insert(namespace.name.clone(), namespace);
        }
        namespaces
    }

    pub(super) fn get(&self, name: &str) -> Option<&Namespace> {
        self.all.get(name)
    }

    /// Those in which new pods can be created.
    pub(super) fn lasting(&self) -> impl Iterator<Item = &str> {
        let names = self.all.keys().filter(|name| !self.ending.contains(*name));
        names.map(String::as_str)
    }

    /// All of them with their labels.
    pub(super) fn labels(&self) -> Labelled {
        let all = self.all.iter();
        all.map(|(name, it)| (name.clone(), it.labels.clone())).collect()
    }

    /// Those that take new pods and whose labels ask for a proxy of this installation. `istio-injection` beats `istio.io/rev`, and asks for the
    /// default installation.
    pub(super) fn enabled(&self, injection: &Injection) -> Labelled {
        let default = Names::of(&injection.revision).is_default();
        let asks = |namespace: &Namespace| match namespace.labels.get("istio-injection") {
            Some(value) => value == "enabled" && default,
            None => namespace.labels.get("istio.io/rev") == Some(&injection.revision),
        };
        let mut labelled = self.labels();
        labelled.retain(|name, _| {
            let closed = self.ending.contains(name) || injection.ignored_namespaces.contains(name);
            !closed && self.get(name).is_some_and(asks)
        });
        labelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_say_which_installation_is_meant() {
        let namespace = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
        let mut listed = vec![
            namespace("a", json!({"istio-injection": "enabled"})),
            namespace(
                "b",
                json!({"istio-injection": "disabled", "istio.io/rev": "outrigger"}),
            ),
            namespace("c", json!({"istio.io/rev": "outrigger"})),
            namespace("d", json!({"istio.io/rev": "canary"})),
            namespace(
                "e",
                json!({"istio-injection": "enabled", "istio.io/rev": "canary"}),
            ),
            namespace("f", json!({"istio-injection": "enabled"})),
            namespace("kube-system", json!({"istio-injection": "enabled"})),
        ];
        listed[5]["status"]["phase"] = "Terminating".into();
        let namespaces = Namespaces::new(&listed);
        for (revision, expected) in [("outrigger", "a c e"), ("canary", "d")] {
            let injection = Injection {
                revision: revision.to_owned(),
                ..Injection::default()
            };
            let enabled: Vec<_> = namespaces.enabled(&injection).into_keys().collect();
            assert_eq!(enabled.join(" "), expected, "{revision}");
        }
        let lasting: Vec<_> = namespaces.lasting().collect();
        assert_eq!(lasting, ["a", "b", "c", "d", "e", "kube-system"]);
        assert_eq!(namespaces.labels()["d"]["istio.io/rev"], "canary");
        assert!(namespaces.get("f").is_some());
    }
}
