//! The edits of a tree as the text's edits: lines and words that come, go or change; all others keep their bytes.
//! Before it: `edit`. After it: `splice`, which checks the result.

use std::collections::BTreeMap;

use super::edit::{Edit, Member};
use super::emit::{Indent, Style, inline};
use super::lines;
use super::tree::{Child, Collection, Kind, Node};
use serde_json::Value;

/// What the document becomes.
pub(super) struct Rendered {
    pub(super) text: String,
    /// The text of each node that was written anew, by its pointer in the document as it was: what stood between the
    /// `:` or `-` and the end of the last line, or, where one word took the place of another, only the word.
    pub(super) rewritten: BTreeMap<String, String>,
}

/// Where a document cannot be edited, as a pointer, and why.
pub(super) struct Stuck {
    pub(super) at: usize,
    pub(super) why: &'static str,
}

/// Writes a document anew where its edits say so. With `keeps_removed`, items that go are kept among the texts that were
/// rewritten, with the comments above them.
pub(super) fn render(text: &str, root: &Edit, keeps_removed: bool) -> Result<Rendered, Stuck> {
    let mut render = Render {
        text,
        style: Style::default(),
        changes: vec![],
        rewritten: BTreeMap::new(),
        keeps_removed,
    };
    match root {
        Edit::Kept { .. } => {}
        Edit::Opened {
            node,
            collection,
            members,
            ..
        } => {
            render.style = Style::of(text, node);
            render.collection(node, collection, members, "");
        }
        Edit::New(_) | Edit::Text(_) => {
            let why = "the whole document would have to be written anew";
            return Err(Stuck { at: 0, why });
        }
    }
    let text = render.apply()?;
    Ok(Rendered {
        text,
        rewritten: render.rewritten,
    })
}

struct Render<'t> {
    text: &'t str,
    style: Style,
    /// Start, end, and what takes the place of the bytes between.
    changes: Vec<(usize, usize, String)>,
    rewritten: BTreeMap<String, String>,
    /// Whether items are to come back some day, with the comments above them, which go with them.
    keeps_removed: bool,
}

impl<'t> Render<'t> {
    fn apply(&mut self) -> Result<String, Stuck> {
        let length: usize = self.changes.iter().map(|(.., new)| new.len()).sum();
        let mut text = String::with_capacity(self.text.len() + length);
        let mut cursor = 0;
        // Stable: what was found first at a place comes first.
        self.changes.sort_by_key(|(start, end, _)| (*start, *end));
        for (start, end, new) in &self.changes {
            let Some(kept) = self.text.get(cursor..*start) else {
                let why = "two changes meet here";
                return Err(Stuck { at: cursor, why });
            };
            text.push_str(kept);
            text.push_str(new);
            cursor = *end;
        }
        text.push_str(&self.text[cursor..]);
        Ok(text)
    }

    fn collection(&mut self, node: &Node, collection: &Collection, members: &[Member], pointer: &str) {
        let survives: Vec<bool> = {
            let mut survives = vec![false; collection.children.len()];
            for place in members.iter().filter_map(|member| member.place) {
                survives[place] = true;
            }
            survives
        };
        match collection.is_flow {
            true => self.remove_from_flow(collection, &survives),
            false => self.remove_from_block(node, collection, &survives),
        }
        if self.keeps_removed && !collection.is_mapping {
            self.keep_removed(node, collection, &survives, pointer);
        }
        let mut previous = None;
        for member in members {
            let Some(place) = member.place else {
                let key = member.key.as_deref();
                match (&member.edit, collection.is_flow) {
                    (Edit::New(value), true) => {
                        self.insert_in_flow(node, collection, &survives, previous, key, value);
                    }
                    (Edit::New(value), false) => self.insert_in_block(collection, previous, key, value),
                    (Edit::Text(text), _) => {
                        let place = self.place_of_removed(node, collection, previous);
                        self.changes.push((place, place, text.clone()));
                    }
                    _ => {}
                }
                continue;
            };
            previous = Some(place);
            let pointer = || {
                let token = member.key.as_deref().map(escape);
                format!("{pointer}/{}", token.unwrap_or_else(|| place.to_string()))
            };
            let child = &collection.children[place];
            match &member.edit {
                Edit::Kept { .. } => {}
                Edit::Opened {
                    node,
                    collection,
                    members,
                    ..
                } => self.collection(node, collection, members, &pointer()),
                Edit::New(value) => {
                    let (start, end, new) = self.replace(collection, child, value);
                    let old = self.text[start..end].to_string();
                    self.rewritten.insert(pointer(), old);
                    self.changes.push((start, end, new));
                }
                Edit::Text(text) => {
                    let whole = text.is_empty() || text.starts_with(char::is_whitespace);
                    let (start, end) = match whole {
                        true => self.region(collection, child),
                        false => (child.node.start, child.node.end),
                    };
                    self.changes.push((start, end, text.clone()));
                }
            }
        }
    }

    /// From the `:` or `-` to the end of the last line, or, in brackets, of the value.
    fn region(&self, collection: &Collection, child: &Child) -> (usize, usize) {
        match collection.is_flow {
            true => (child.mark, child.end()),
            false => (child.mark, lines::end(self.text, child.end())),
        }
    }

    fn replace(&self, collection: &Collection, child: &Child, value: &Value) -> (usize, usize, String) {
        let node = &child.node;
        let mut new = String::new();
        let (is_empty, is_flow, is_block) = match &node.kind {
            Kind::Empty => (true, false, false),
            Kind::Collection(it) => (false, it.is_flow, !it.is_flow),
            Kind::BlockScalar => (false, false, true),
            Kind::Scalar | Kind::Alias(_) => (false, false, false),
        };
        if collection.is_flow {
            if is_empty {
                new.push(' ');
            }
            self.style.json(&mut new, value, None);
            let (start, end) = if is_empty {
                self.region(collection, child)
            } else {
                (node.start, node.end)
            };
            return (start, end, new);
        }
        let is_short = match value {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => true,
        };
        if !is_empty && !is_block && (is_short || is_flow) {
            match is_flow {
                true => self.style.json(&mut new, value, None),
                false => inline(&mut new, value),
            }
            return (node.start, node.end, new);
        }
        let (start, end) = self.region(collection, child);
        let column = column(self.text, collection);
        let rest = self.text[child.end()..end].trim();
        let comment = match rest.starts_with('#') && !is_block {
            true => format!(" {rest}"),
            false => String::new(),
        };
        match (is_short, collection.is_mapping) {
            (true, _) => {
                new.push(' ');
                inline(&mut new, value);
                new.push_str(&comment);
            }
            (false, true) => {
                new.push_str(&comment);
                self.style.below(&mut new, value, column);
            }
            (false, false) => self.style.beside(&mut new, value, column),
        }
        (start, end, new)
    }

    fn insert_in_block(
        &mut self,
        collection: &Collection,
        previous: Option<usize>,
        key: Option<&str>,
        value: &Value,
    ) {
        let column = column(self.text, collection);
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

    fn remove_from_block(&mut self, node: &Node, collection: &Collection, survives: &[bool]) {
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
    fn keep_removed(&mut self, node: &Node, collection: &Collection, survives: &[bool], pointer: &str) {
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
    fn place_of_removed(&self, node: &Node, collection: &Collection, previous: Option<usize>) -> usize {
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

    fn insert_in_flow(
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
    fn opening(&self, node: &Node) -> usize {
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
    fn remove_from_flow(&mut self, collection: &Collection, survives: &[bool]) {
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

/// The column of a block collection. It is never empty.
fn column(text: &str, collection: &Collection) -> usize {
    lines::column(text, collection.children[0].start)
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

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
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
    fn of(text: &str, root: &Node) -> Self {
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
                    let column = column(text, inner).saturating_sub(column(text, collection));
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
