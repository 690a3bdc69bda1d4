//! The way back: from a pod's status to the operations that take out what was done to it, and nothing else. What others have
//! changed or removed since is left as they left it. Before it: `status`. After it: `manifest`, or whoever compares.

use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::Value;

use super::pod::{Pod, name};
use super::status::{ANNOTATION, Status};
use super::{Refusal, place, status};

/// What takes an injection out of a pod.
#[derive(Debug, Default)]
pub struct Undo {
    /// The operations, with paths from the top of the pod.
    pub patch: Patch,
}

/// Says how to undo the injection of a pod, or `None` if it was not injected.
///
/// # Errors
/// A field that is not what the Kubernetes API says it is.
pub fn undo(pod: &Value) -> Result<Option<Undo>, Refusal> {
    let Some(status) = Status::read(&Pod::read(pod, "")?) else {
        return Ok(None);
    };
    let mut way = Way {
        now: pod.clone(),
        undo: Undo::default(),
    };
    // Nulls were the parents of what goes: they come back last.
    let (nulls, values): (Vec<_>, Vec<_>) = status.replaced.iter().partition(|it| it.was.is_null());
    for replaced in values.iter().rev() {
        way.replace(&replaced.at, &replaced.was);
    }
    way.remove_named("/spec/containers", &status.containers);
    way.remove_named("/spec/initContainers", &status.init_containers);
    for taken in &status.taken {
        way.put_back(&taken.list, taken.index, &taken.was);
    }
    way.remove_named("/spec/volumes", &status.volumes);
    let annotations = status.annotations.iter().map(String::as_str);
    // Last in, first out: what was there keeps its order.
    if !values.iter().any(|it| it.at == status::AT) {
        way.remove_keys(["metadata", "annotations"], &[ANNOTATION]);
    }
    way.remove_keys(
        ["metadata", "annotations"],
        &annotations.rev().collect::<Vec<_>>(),
    );
    let labels = status.labels.iter().map(String::as_str);
    way.remove_keys(["metadata", "labels"], &labels.rev().collect::<Vec<_>>());
    for pointer in &status.created {
        way.remove_empty(pointer);
    }
    for replaced in &nulls {
        way.empty_to_null(&replaced.at);
    }
    Ok(Some(way.undo))
}

/// The pod on its way back, so that every path is right when its operation's turn comes.
struct Way {
    now: Value,
    undo: Undo,
}

impl Undo {
    /// Takes the injection out of the pod that this was made for. The order of what stays is kept.
    pub fn apply(&self, pod: &mut Value) {
        apply(pod, &self.patch);
    }
}

impl Way {
    fn step(&mut self, operation: PatchOperation) {
        step(&mut self.now, &operation);
        self.undo.patch.0.push(operation);
    }

    fn replace(&mut self, at: &str, was: &Value) {
        if let Some(path) = place::pointer(&self.now, at) {
            let value = was.clone();
            self.step(PatchOperation::Replace(ReplaceOperation { path, value }));
        }
    }

    fn put_back(&mut self, list: &str, index: usize, was: &Value) {
        let Some(items) = self.now["spec"][list].as_array() else {
            return;
        };
        let index = index.min(items.len()).to_string();
        let path = PointerBuf::from_tokens(["spec", list, &index]);
        let value = was.clone();
        self.step(PatchOperation::Add(AddOperation { path, value }));
    }

    fn remove_named(&mut self, list: &str, names: &[String]) {
        let items = self.now.pointer(list).and_then(Value::as_array);
        let indices = items.into_iter().flatten().enumerate();
        let ours = indices.filter(|(_, item)| names.iter().any(|ours| ours == name(item)));
        let indices: Vec<_> = ours.map(|(index, _)| index).collect();
        for index in indices.into_iter().rev() {
            self.remove(&format!("{list}/{index}"));
        }
    }

    fn remove_keys(&mut self, parents: [&str; 2], keys: &[&str]) {
        for key in keys {
            let path = PointerBuf::from_tokens(parents.iter().chain([key]).copied());
            self.remove(path.as_str());
        }
    }

    fn empty_to_null(&mut self, at: &str) {
        let path = place::pointer(&self.now, at);
        if let Some(path) = path.filter(|path| self.is_empty(path)) {
            let value = Value::Null;
            self.step(PatchOperation::Replace(ReplaceOperation { path, value }));
        }
    }

    fn remove_empty(&mut self, pointer: &str) {
        if PointerBuf::parse(pointer).is_ok_and(|path| self.is_empty(&path)) {
            self.remove(pointer);
        }
    }

    fn is_empty(&self, path: &Pointer) -> bool {
        match self.now.pointer(path.as_str()) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            _ => false,
        }
    }

    fn remove(&mut self, pointer: &str) {
        if self.now.pointer(pointer).is_some()
            && let Ok(path) = PointerBuf::parse(pointer)
        {
            self.step(PatchOperation::Remove(RemoveOperation { path }));
        }
    }
}

/// Applies operations whose paths are there. Unlike `json_patch::patch`, a member's removal keeps the order of the others.
pub(super) fn apply(value: &mut Value, patch: &Patch) {
    patch.0.iter().for_each(|operation| step(value, operation));
}

fn step(value: &mut Value, operation: &PatchOperation) {
    let path = operation.path().as_str();
    let Some((parent, _)) = path.rsplit_once('/') else {
        return;
    };
    let key = operation.path().last().map(|token| token.decoded().into_owned());
    let (Some(parent), Some(key)) = (value.pointer_mut(parent), key) else {
        return;
    };
    match (parent, operation) {
        (Value::Object(map), PatchOperation::Remove(_)) => {
            map.shift_remove(&key);
        }
        (Value::Array(list), PatchOperation::Remove(_)) => {
            if let Some(index) = key.parse().ok().filter(|index| *index < list.len()) {
                list.remove(index);
            }
        }
        (Value::Array(list), PatchOperation::Add(add)) => {
            let index = key.parse().unwrap_or(list.len());
            list.insert(index.min(list.len()), add.value.clone());
        }
        (Value::Object(map), PatchOperation::Add(AddOperation { value, .. }))
        | (Value::Object(map), PatchOperation::Replace(ReplaceOperation { value, .. })) => {
            map.insert(key, value.clone());
        }
        _ => {}
    }
}
