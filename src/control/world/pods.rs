//! The cluster's pods by namespace and name: what selects pods looks at those of one namespace.

use std::collections::HashMap;

use super::{Key, Pod};

/// By namespace, then by name; no namespace is empty.
#[derive(Debug, Default)]
pub(super) struct Pods(HashMap<String, HashMap<String, Pod>>);

impl Pods {
    pub(super) fn get(&self, key: &Key) -> Option<&Pod> {
        self.0.get(&key.namespace)?.get(&key.name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Pod> {
        self.0.values().flat_map(HashMap::values)
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Pod> {
        self.0.get(namespace).into_iter().flat_map(HashMap::values)
    }

    pub(super) fn insert(&mut self, pod: Pod) {
        let Key { namespace, name } = pod.key.clone();
        self.0.entry(namespace).or_default().insert(name, pod);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let Some(pods) = self.0.get_mut(&key.namespace) else {
            return false;
        };
        let known = pods.remove(&key.name).is_some();
        if pods.is_empty() {
            self.0.remove(&key.namespace);
        }
        known
    }
}
