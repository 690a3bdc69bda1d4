//! Where the cluster's nodes are: their labels of topology, which localities are found by.

use std::collections::{BTreeMap, HashMap};

use kube::api::ObjectMeta;

/// A node, with its labels of topology alone: others change often and say nothing here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// As EndpointSlices name it.
    pub name: String,
    /// `topology.kubernetes.io/region` and `zone`, and `topology.istio.io/subzone`.
    pub topology: BTreeMap<String, String>,
}

impl From<ObjectMeta> for Node {
    fn from(meta: ObjectMeta) -> Self {
        let mut topology = meta.labels.unwrap_or_default();
        topology.retain(|label, _| label.starts_with("topology."));
        Self {
            name: meta.name.unwrap_or_default(),
            topology,
        }
    }
}

/// The cluster's nodes by name.
#[derive(Debug, Default)]
pub(super) struct Nodes(HashMap<String, Node>);

impl Nodes {
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.0.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Whether it says something new.
    pub(super) fn insert(&mut self, node: Node) -> bool {
        let new = self.0.get(&node.name) != Some(&node);
        if new {
            self.0.insert(node.name.clone(), node);
        }
        new
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }
}
