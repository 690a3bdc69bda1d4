//! The edits of a tree as the text's edits: lines and words that come, go or change; all others keep their bytes.
//! Before it: `edit`. After it: `splice`, which checks the result.

mod block;
mod flow;

use std::collections::BTreeMap;

use super::edit::{Edit, Member};
use super::emit::inline;
use super::lines;
use super::style::Style;
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
        let column = collection.column(self.text);
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
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
