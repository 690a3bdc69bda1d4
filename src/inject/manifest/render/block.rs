//! Lines that come and go in block style. A part of `render`.

use serde_json::Value;

use super::Render;
use crate::inject::manifest::lines;
use crate::inject::manifest::tree::{Child, Collection, Node};

impl Render<'_> {
    pub(super) fn insert_in_block(
        &mut self,
        collection: &Collection,
        previous: Option<usize>,
        key: Option<&str>,
        value: &Value,
    ) {
        let column = collection.column(self.text);
        let (first, mut new) = (collection.children[0].start, String::new());
        let write = |new: &mut String| match key {
            Some(key) => self.style.member(new, key, value, column),
            None => self.style.item(new, value, column),
        };
        let place = match previous {
            Some(previous) => Some(lines::end(self.text, collection.children[previous].end())),
            None if lines::begins_at(self.text, first) => above(self.text, first),
            None => None,
        };
        if let Some(place) = place {
            self.style.new_line(&mut new, column);
            write(&mut new);
            self.changes.push((place, place, new));
        } else {
            // There is no line above, or another `-` is in front: the first keeps its place for the new one.
            write(&mut new);
            self.style.new_line(&mut new, column);
            self.changes.push((first, first, new));
        }
    }

    pub(super) fn remove_from_block(&mut self, node: &Node, collection: &Collection, survives: &[bool]) {
        let children = &collection.children;
        let mut from = 0;
        let own_line = |child: &Child| {
            lines::begins_at(self.text, child.start)
                && lines::end_of_previous(self.text, child.start).is_some()
        };
        if let (Some(first), Some(false)) = (children.first(), survives.first())
            && !own_line(first)
            && let Some(next) = survives.iter().position(|survives| *survives)
        {
            self.changes
                .push((first.start, children[next].start, String::new()));
            from = next;
        }
        let removed = children
            .iter()
            .enumerate()
            .skip(from)
            .filter(|(index, _)| !survives[*index]);
        for (index, child) in removed {
            let (start, end) = match self.keeps_removed && !collection.is_mapping {
                true => self.lines_that_go(node, collection, survives, index),
                false => {
                    let above = lines::end_of_previous(self.text, child.start);
                    let end = lines::end(self.text, child.end());
                    (above.unwrap_or(child.start), end)
                }
            };
            self.changes.push((start, end, String::new()));
        }
    }

    /// Keeps the texts of items that go, with the comments above them, for the place behind what is in front of them.
    pub(super) fn keep_removed(
        &mut self,
        node: &Node,
        collection: &Collection,
        survives: &[bool],
        pointer: &str,
    ) {
        let children = &collection.children;
        if !children.is_empty() && !survives.contains(&true) {
            let text = self.text[node.start..node.end].to_string();
            self.rewritten.insert(pointer.into(), text);
            return;
        }
        let removed = children.iter().enumerate().filter(|(index, _)| !survives[*index]);
        for (index, child) in removed {
            let (start, end) = match (collection.is_flow, index, children.get(index + 1)) {
                (true, 0, Some(next)) => (child.start, next.start),
                (true, ..) => {
                    let start = self.place_of_removed(node, collection, index.checked_sub(1));
                    (start, child.end())
                }
                (false, ..) => self.lines_that_go(node, collection, survives, index),
            };
            if let Some(text) = self.text.get(start..end) {
                self.rewritten.insert(format!("{pointer}/{index}"), text.into());
            }
        }
    }

    /// The lines of an item and the comments above it; of the first also the empty lines up to the next and its comments.
    fn lines_that_go(
        &self,
        node: &Node,
        collection: &Collection,
        survives: &[bool],
        index: usize,
    ) -> (usize, usize) {
        let children = &collection.children;
        let start = self.place_of_removed(node, collection, index.checked_sub(1));
        let end = lines::end(self.text, children[index].end());
        let next = children.get(1).filter(|_| index == 0 && survives[1]);
        let next = next.and_then(|next| above(self.text, next.start));
        (start, next.map_or(end, |next| next.max(end)))
    }

    /// Behind an item, or in front of the first.
    pub(super) fn place_of_removed(
        &self,
        node: &Node,
        collection: &Collection,
        previous: Option<usize>,
    ) -> usize {
        let Some(first) = collection.children.first().map(|child| child.start) else {
            return self.opening(node);
        };
        match (
            previous.map(|previous| collection.children[previous].end()),
            collection.is_flow,
        ) {
            (Some(end), true) => end,
            (Some(end), false) => lines::end(self.text, end),
            (None, true) => first,
            (None, false) => above(self.text, first).unwrap_or(first),
        }
    }
}

/// The end of the line above `at` and the comments that belong to it.
fn above(text: &str, at: usize) -> Option<usize> {
    let mut end = lines::end_of_previous(text, at)?;
    loop {
        let start = lines::start(text, end);
        if !text[start..end].trim_start().starts_with('#') {
            return Some(end);
        }
        end = lines::end_of_previous(text, start)?;
    }
}
