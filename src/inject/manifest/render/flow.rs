//! What comes and goes between brackets. A part of `render`.

use serde_json::Value;

use super::Render;
use crate::inject::manifest::emit::Indent;
use crate::inject::manifest::lines;
use crate::inject::manifest::tree::{Collection, Node};

impl Render<'_> {
    pub(super) fn insert_in_flow(
        &mut self,
        node: &Node,
        collection: &Collection,
        survives: &[bool],
        previous: Option<usize>,
        key: Option<&str>,
        value: &Value,
    ) {
        let children = &collection.children;
        let indent = children
            .first()
            .and_then(|first| indent(self.text, node.start, first.start));
        let mut new = String::new();
        let separator = match &indent {
            Some((_, gap)) => format!(",{gap}"),
            None if self.style.is_tight => ",".into(),
            None => ", ".into(),
        };
        let indent = indent.map(|(indent, _)| indent);
        let write = |new: &mut String| match key {
            Some(key) => self.style.json_member(new, key, value, indent.as_ref()),
            None => self.style.json(new, value, indent.as_ref()),
        };
        let next = survives.iter().position(|survives| *survives);
        let place = if let Some(previous) = previous {
            new.push_str(&separator);
            write(&mut new);
            children[previous].end()
        } else if let Some(next) = next {
            write(&mut new);
            new.push_str(&separator);
            children[next].start
        } else {
            // Right behind the bracket, which ends a collection without children but for white space.
            let place = self.opening(node);
            if self.changes.last().is_some_and(|(start, ..)| *start == place) {
                new.push_str(&separator);
            }
            write(&mut new);
            place
        };
        self.changes.push((place, place, new));
    }

    /// Behind the bracket that opens an empty collection: its anchor or tag may be in front.
    pub(super) fn opening(&self, node: &Node) -> usize {
        let text = &self.text[node.start..node.end];
        node.start + text.rfind(['[', '{']).map_or(0, |at| at + 1)
    }

    /// Behind the comma that may follow the last of a bracket: alone it would be an error.
    fn behind_comma(&self, end: usize) -> usize {
        let rest = self.text[end..].trim_start();
        match rest.strip_prefix(',') {
            Some(rest) => self.text.len() - rest.len(),
            None => end,
        }
    }

    /// With the comma that is in front of it, or, for the first, behind it.
    pub(super) fn remove_from_flow(&mut self, collection: &Collection, survives: &[bool]) {
        let children = &collection.children;
        let mut index = 0;
        while index < children.len() {
            if survives[index] {
                index += 1;
                continue;
            }
            let first = index;
            while index < children.len() && !survives[index] {
                index += 1;
            }
            let (start, end) = match (first, children.get(index)) {
                (0, Some(next)) => (children[0].start, next.start),
                (0, None) => (children[0].start, self.behind_comma(children[index - 1].end())),
                (first, _) => (children[first - 1].end(), children[index - 1].end()),
            };
            self.changes.push((start, end, String::new()));
        }
    }
}

/// How the members of a bracket are set off, if each has a line: the indent, and the bytes between two of them.
fn indent(text: &str, opening: usize, first: usize) -> Option<(Indent, &str)> {
    let gap = text[opening..first].rfind(['\n', '\r'])?;
    let column = &text[opening + gap + 1..first];
    if !column.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
        return None;
    }
    let line = &text[lines::start(text, opening)..];
    let outer = line.len() - line.trim_start_matches([' ', '\t']).len();
    let step = match column.starts_with('\t') {
        true => "\t".into(),
        false => " ".repeat(column.len().saturating_sub(outer).clamp(1, 8)),
    };
    let from = lines::end_of_previous(text, first)?;
    let indent = Indent {
        column: column.into(),
        step,
    };
    Some((indent, &text[from..first]))
}
