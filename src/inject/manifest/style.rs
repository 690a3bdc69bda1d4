//! How a document is written: its line breaks, its columns, its spaces. What is added to it is written likewise.
//! Before it: `tree`. After it: `emit`.

use super::lines;
use super::tree::{Kind, Node};

/// How the document that is added to is written.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) line_break: &'static str,
    /// Columns from a mapping to the mapping in it.
    pub(super) step: usize,
    /// Columns from a mapping to the `-` of a sequence in it.
    pub(super) dash: usize,
    /// JSON without spaces.
    pub(super) is_tight: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            line_break: "\n",
            step: 2,
            dash: 0,
            is_tight: false,
        }
    }
}

impl Style {
    /// The style of a document: that of the first collections in it.
    pub(super) fn of(text: &str, root: &Node) -> Self {
        let (mut step, mut dash, mut is_tight) = (None, None, None);
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            let Kind::Collection(collection) = &node.kind else {
                continue;
            };
            for child in &collection.children {
                if collection.is_flow && collection.is_mapping {
                    is_tight = is_tight.or(Some(child.mark == child.node.start));
                }
                let Kind::Collection(inner) = &child.node.kind else {
                    continue;
                };
                let found = if inner.is_mapping { &mut step } else { &mut dash };
                if found.is_none() && collection.is_mapping && !collection.is_flow && !inner.is_flow {
                    let column = inner.column(text).saturating_sub(collection.column(text));
                    *found = Some(column);
                }
            }
            if step.is_some() && dash.is_some() && is_tight.is_some() {
                break;
            }
            open.extend(collection.children.iter().rev().map(|child| &child.node));
        }
        Self {
            line_break: lines::line_break(text),
            step: step.filter(|step| *step > 0).unwrap_or(2),
            dash: dash.unwrap_or(0),
            is_tight: is_tight.unwrap_or(false),
        }
    }
}
