//! Aliases of nodes that change: they get the value that they had, in a text of their own. A part of `edit`.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Edit, value_of_child};
use crate::inject::manifest::tree::{Kind, Node};

impl<'t> Edit<'t> {
    /// Notes the anchors of what is about to go.
    pub(super) fn touch(&self, touched: &mut HashSet<usize>) {
        match self {
            Self::Kept { node, .. } | Self::Opened { node, .. } => touch(node, touched),
            Self::New(_) | Self::Text(_) => {}
        }
    }

    /// Writes the aliases of changed nodes anew, with the value that they had.
    pub(super) fn free_aliases(&mut self, anchors: &HashMap<usize, &'t Value>, touched: &HashSet<usize>) {
        if let Self::Kept { node, .. } = self {
            if let Kind::Alias(id) = node.kind {
                if let Some(value) = anchors.get(&id).filter(|_| touched.contains(&id)) {
                    *self = Self::New((*value).clone());
                }
                return;
            }
            if !refers(node, touched) {
                return;
            }
            self.open_kept();
        }
        if let Self::Opened { members, .. } = self {
            for member in members {
                member.edit.free_aliases(anchors, touched);
            }
        }
    }
}

pub(super) fn touch(node: &Node, touched: &mut HashSet<usize>) {
    touched.extend(node.anchor);
    if let Kind::Collection(collection) = &node.kind {
        for child in &collection.children {
            touch(&child.node, touched);
        }
    }
}

fn refers(node: &Node, touched: &HashSet<usize>) -> bool {
    match &node.kind {
        Kind::Alias(id) => touched.contains(id),
        Kind::Collection(collection) => collection
            .children
            .iter()
            .any(|child| refers(&child.node, touched)),
        _ => false,
    }
}

pub(super) fn find_anchors<'t>(node: &Node, value: &'t Value, anchors: &mut HashMap<usize, &'t Value>) {
    if let Some(anchor) = node.anchor {
        anchors.insert(anchor, value);
    }
    let Kind::Collection(collection) = &node.kind else {
        return;
    };
    for (index, child) in collection.children.iter().enumerate() {
        if let Some(value) = value_of_child(value, index, child) {
            find_anchors(&child.node, value, anchors);
        }
    }
}
