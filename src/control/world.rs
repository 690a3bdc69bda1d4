//! What the control plane knows of the cluster, indexed for `compile`. Fed by `watch` or `directory`, one event at a time.

use std::collections::{BTreeMap, HashMap};

/// Everything known, shared as a `tokio::sync::watch` channel: writers apply events, readers borrow or wait for a condition.
#[derive(Debug, Default)]
pub struct World {
    namespaces: HashMap<String, BTreeMap<String, String>>,
}

impl World {
    /// The labels of a namespace, or `None` if it is not known (yet).
    pub fn namespace_labels(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(name)
    }

    /// The names of all namespaces, in no order.
    pub fn namespace_names(&self) -> impl Iterator<Item = &str> {
        self.namespaces.keys().map(String::as_str)
    }
}
