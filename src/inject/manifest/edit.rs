//! What becomes of each node of a document: an RFC 6902 patch applied to the tree instead of to the value.
//! Before it: `tree`. After it: `render`, which writes the difference into the text.

mod aliases;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::tree::{Child, Collection, Kind, Node};
use aliases::{find_anchors, touch};

/// Members that read best in front of another one; all else comes last. Kubernetes' own manifests have this order.
const IN_FRONT_OF: [(&str, &str); 2] = [("selector", "template"), ("initContainers", "containers")];

static NULL: Value = Value::Null;

/// A node's fate.
#[derive(Debug)]
pub(super) enum Edit<'t> {
    /// Its bytes stay as they are.
    Kept { node: &'t Node<'t>, value: &'t Value },
    /// A collection of which a part changes.
    Opened {
        node: &'t Node<'t>,
        collection: &'t Collection<'t>,
        value: &'t Value,
        members: Vec<Member<'t>>,
    },
    /// Written anew.
    New(Value),
    /// Written with the text that it once had.
    Text(String),
}

/// A child of an opened collection.
#[derive(Debug)]
pub(super) struct Member<'t> {
    pub(super) key: Option<Cow<'t, str>>,
    /// Which of the collection's children this was; none if it was added.
    pub(super) place: Option<usize>,
    pub(super) edit: Edit<'t>,
}

/// The document's tree while it is changed.
pub(super) struct Edits<'t> {
    pub(super) root: Edit<'t>,
    /// Values by the number of their anchor.
    anchors: HashMap<usize, &'t Value>,
    /// Anchors whose node is not what it was, so that the aliases of it must go.
    touched: HashSet<usize>,
}

/// What the patch asks for that the text cannot express.
pub(super) type Unsupported = &'static str;

impl<'t> Edits<'t> {
    pub(super) fn new(node: &'t Node<'t>, value: &'t Value) -> Self {
        let mut anchors = HashMap::new();
        find_anchors(node, value, &mut anchors);
        Self {
            root: Edit::Kept { node, value },
            anchors,
            touched: HashSet::new(),
        }
    }

    /// Applies a patch that is known to fit the value, then frees what referred to a node that changed.
    pub(super) fn apply(&mut self, patch: &Patch) -> Result<(), Unsupported> {
        for operation in &patch.0 {
            let (path, change) = match operation {
                PatchOperation::Add(add) => (&add.path, Change::Add(&add.value)),
                PatchOperation::Replace(replace) => (&replace.path, Change::Replace(&replace.value)),
                PatchOperation::Remove(remove) => (&remove.path, Change::Remove),
                PatchOperation::Test(_) => continue,
                _ => return Err("only add, replace and remove are written into a text"),
            };
            let tokens: Vec<_> = path.tokens().map(|token| token.decoded().into_owned()).collect();
            self.root.change(&tokens, change, &mut self.touched)?;
        }
        if !self.touched.is_empty() {
            self.root.free_aliases(&self.anchors, &self.touched);
        }
        self.root.settle();
        Ok(())
    }

    /// Puts texts back in the places that their pointers name; one without a place is left out.
    pub(super) fn put_back(&mut self, texts: &BTreeMap<String, String>) {
        for (pointer, text) in texts {
            let tokens: Vec<_> = pointer.split('/').skip(1).map(unescape).collect();
            self.root.put_back(&tokens, text);
        }
    }
}

#[derive(Clone, Copy)]
enum Change<'a> {
    Add(&'a Value),
    Replace(&'a Value),
    Remove,
}

impl<'t> Edit<'t> {
    fn change(
        &mut self,
        tokens: &[String],
        change: Change,
        touched: &mut HashSet<usize>,
    ) -> Result<(), Unsupported> {
        let (token, rest) = tokens.split_first().ok_or("the whole document would change")?;
        self.open(Some(token), touched);
        let Self::Opened {
            collection, members, ..
        } = self
        else {
            return match self {
                Self::New(value) => change_value(value, tokens, change),
                _ => Err("a scalar has no members"),
            };
        };
        let found = position(collection, members, token);
        if let (Some(index), false) = (found, rest.is_empty()) {
            return members[index].edit.change(rest, change, touched);
        }
        if !rest.is_empty() {
            return Err("a member on its path is missing");
        }
        match (change, found) {
            (Change::Add(value), Some(index)) if !collection.is_mapping => {
                members.insert(index, Member::added(None, value));
            }
            (Change::Add(value) | Change::Replace(value), Some(index)) => {
                members[index].edit.touch(touched);
                members[index].edit = Self::New(value.clone());
            }
            (Change::Add(value), None) => {
                let key = collection.is_mapping.then(|| token.clone().into());
                let index = match collection.is_mapping {
                    true => place_of_new(members, token),
                    false => members.len(),
                };
                members.insert(index, Member::added(key, value));
            }
            (Change::Remove, Some(index)) => {
                members[index].edit.touch(touched);
                members.remove(index);
            }
            (_, None) => return Err("it is missing"),
        }
        Ok(())
    }

    /// Makes the children of a collection subject to change. What has no children of its own in the text, such as an
    /// alias, is to be written anew, and so is a mapping that has the member from another one by way of `<<`.
    fn open(&mut self, member: Option<&str>, touched: &mut HashSet<usize>) {
        let (node, merged) = match self {
            Self::Kept { node, value } => (*node, merged(node, value, member)),
            Self::Opened { node, value, .. } => (*node, merged(node, value, member)),
            Self::New(_) | Self::Text(_) => return,
        };
        touched.extend(node.anchor);
        if merged {
            self.touch(touched);
            *self = Self::New(self.value());
        } else if matches!(self, Self::Kept { .. }) {
            self.open_kept();
            if matches!(self, Self::New(_)) {
                touch(node, touched);
            }
        }
    }

    fn open_kept(&mut self) {
        let Self::Kept { node, value } = *self else {
            return;
        };
        *self = match &node.kind {
            Kind::Collection(collection) if !collection.is_opaque => {
                let member = |(index, child): (usize, &'t Child<'t>)| Member {
                    key: child.key.clone(),
                    place: Some(index),
                    edit: Self::Kept {
                        node: &child.node,
                        // `<<` is no member of the value.
                        value: value_of_child(value, index, child).unwrap_or(&NULL),
                    },
                };
                Self::Opened {
                    node,
                    collection,
                    value,
                    members: collection.children.iter().enumerate().map(member).collect(),
                }
            }
            _ => Self::New(value.clone()),
        };
    }

    /// What it is after all changes.
    fn value(&self) -> Value {
        match self {
            Self::Kept { value, .. } => (*value).clone(),
            Self::New(value) => value.clone(),
            Self::Text(_) => Value::Null,
            Self::Opened {
                value,
                members,
                collection,
                ..
            } if collection.is_mapping => {
                let mut map = value.as_object().cloned().unwrap_or_default();
                map.retain(|key, _| {
                    let here = |key: &str| members.iter().any(|member| member.key.as_deref() == Some(key));
                    let was = collection
                        .children
                        .iter()
                        .any(|child| child.key.as_deref() == Some(key));
                    here(key) || !was
                });
                for member in members {
                    let is_merge = collection.has_merge && member.key.as_deref() == Some("<<");
                    if let Some(key) = member.key.as_deref().filter(|_| !is_merge) {
                        map.insert(key.into(), member.edit.value());
                    }
                }
                map.into()
            }
            Self::Opened { members, .. } => members.iter().map(|member| member.edit.value()).collect(),
        }
    }

    /// A collection that lost all it had is written anew: block style has no empty collections.
    fn settle(&mut self) {
        let Self::Opened {
            collection, members, ..
        } = self
        else {
            return;
        };
        for member in members.iter_mut() {
            member.edit.settle();
        }
        let survives = members.iter().any(|member| member.place.is_some());
        let was_empty = collection.children.is_empty();
        let stays_in_brackets = collection.is_flow && members.is_empty();
        if !(survives || was_empty || stays_in_brackets) {
            *self = Self::New(self.value());
        }
    }

    fn put_back(&mut self, tokens: &[String], text: &str) {
        let Some((token, rest)) = tokens.split_first() else {
            *self = Self::Text(text.into());
            return;
        };
        if matches!(self, Self::Kept { .. }) {
            self.open_kept();
        }
        let Self::Opened {
            collection, members, ..
        } = self
        else {
            return;
        };
        let found = position(collection, members, token);
        // An item that comes back has its text, a member of a mapping that is added never had one.
        let had_text =
            |index: &usize| members[*index].place.is_some() || !collection.is_mapping && rest.is_empty();
        if let Some(index) = found.filter(had_text) {
            members[index].edit.put_back(rest, text);
        }
    }
}

impl<'t> Member<'t> {
    fn added(key: Option<Cow<'t, str>>, value: &Value) -> Self {
        Self {
            key,
            place: None,
            edit: Edit::New(value.clone()),
        }
    }
}

/// Whether a mapping has a member from `<<` alone.
fn merged(node: &Node, value: &Value, member: Option<&str>) -> bool {
    let Kind::Collection(collection) = &node.kind else {
        return false;
    };
    let Some(member) = member.filter(|_| collection.has_merge) else {
        return false;
    };
    let written = |child: &Child| child.key.as_deref() == Some(member);
    value.get(member).is_some() && !collection.children.iter().any(written)
}

fn value_of_child<'t>(parent: &'t Value, index: usize, child: &Child) -> Option<&'t Value> {
    match &child.key {
        Some(key) => parent.get(key.as_ref()),
        None => parent.get(index),
    }
}

fn position(collection: &Collection, members: &[Member], token: &str) -> Option<usize> {
    if collection.is_mapping {
        return members
            .iter()
            .position(|member| member.key.as_deref() == Some(token));
    }
    let index: usize = token.parse().ok()?;
    (index < members.len()).then_some(index)
}

fn place_of_new(members: &[Member], key: &str) -> usize {
    let index_of = |key: &str| {
        members
            .iter()
            .position(|member| member.key.as_deref() == Some(key))
    };
    let follower = IN_FRONT_OF.iter().find(|(first, _)| *first == key);
    let place = follower.and_then(|(_, follower)| index_of(follower));
    place.unwrap_or(members.len())
}

fn change_value(value: &mut Value, tokens: &[String], change: Change) -> Result<(), Unsupported> {
    let (last, parents) = tokens.split_last().ok_or("the whole document would change")?;
    let parent = parents.iter().try_fold(value, |value, token| match value {
        Value::Object(map) => map.get_mut(token),
        Value::Array(list) => list.get_mut(token.parse::<usize>().ok()?),
        _ => None,
    });
    match (parent, change) {
        (Some(Value::Object(map)), Change::Add(value) | Change::Replace(value)) => {
            map.insert(last.clone(), value.clone());
        }
        (Some(Value::Object(map)), Change::Remove) => {
            map.shift_remove(last);
        }
        (Some(Value::Array(list)), change) => {
            let index = last.parse().unwrap_or(list.len());
            match change {
                Change::Add(value) if index <= list.len() => list.insert(index, value.clone()),
                Change::Replace(value) if index < list.len() => list[index] = value.clone(),
                Change::Remove if index < list.len() => {
                    list.remove(index);
                }
                _ => return Err("the list is too short"),
            }
        }
        _ => return Err("a member on its path is missing"),
    }
    Ok(())
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}
