//! The explicit RFC 6902 operations that do to a pod what a `Sidecar` says: nothing is reordered, nothing is changed but what
//! the status lists, and a parent is created only where it is absent. Before it: `sidecar` and `status`. After it: the API
//! server, or `manifest`, applies them.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value};

use super::place;
use super::pod::Pod;
use super::sidecar::{Replacement, Sidecar};

/// The operations, with paths from the top of the pod.
pub(super) fn patch(raw: &Value, pod: &Pod, sidecar: Sidecar) -> Patch {
    let mut operations = vec![];
    if pod.metadata.is_none() {
        operations.push(parent(raw, &["metadata"], Value::Object(Map::new())));
    }
    for (field, present, added) in [
        ("labels", pod.labels, sidecar.labels),
        ("annotations", pod.annotations, sidecar.annotations),
    ] {
        operations.extend(entries(raw, field, present.is_some(), added));
    }
    operations.extend(replacements(raw, sidecar.replaced));
    let mut taken: Vec<_> = sidecar.taken.iter().map(|it| (it.list, it.index)).collect();
    taken.sort_unstable();
    operations.extend(taken.iter().rev().map(|(list, index)| {
        let path = PointerBuf::from_tokens(["spec", list, &index.to_string()]);
        PatchOperation::Remove(RemoveOperation { path })
    }));
    let (init, others): (Vec<_>, Vec<_>) =
        (sidecar.containers.into_iter()).partition(|it| it.list == "initContainers");
    for (list, present, added) in [
        ("initContainers", pod.init_containers.is_some(), init),
        ("containers", true, others),
    ] {
        let added = added.into_iter().map(|it| (it.index.to_string(), it.container));
        operations.extend(items(raw, list, present, added));
    }
    let volumes = sidecar.volumes.into_iter().map(|volume| ("-".to_owned(), volume));
    operations.extend(items(raw, "volumes", pod.volumes.is_some(), volumes));
    Patch(operations)
}

/// Values in the place of others. A place that is not there any more was taken out by somebody else.
pub(super) fn replacements(raw: &Value, replaced: Vec<Replacement>) -> impl Iterator<Item = PatchOperation> {
    replaced.into_iter().filter_map(|it| {
        let path = place::pointer(raw, &it.at)?;
        let value = it.now;
        Some(PatchOperation::Replace(ReplaceOperation { path, value }))
    })
}

fn items(
    raw: &Value,
    field: &str,
    present: bool,
    added: impl Iterator<Item = (String, Value)>,
) -> Vec<PatchOperation> {
    if present {
        return added
            .map(|(index, item)| add(&["spec", field, &index], item))
            .collect();
    }
    let list: Vec<_> = added.map(|(_, item)| item).collect();
    match list.is_empty() {
        true => vec![],
        false => vec![parent(raw, &["spec", field], list.into())],
    }
}

fn entries(raw: &Value, field: &str, present: bool, added: Vec<(String, String)>) -> Vec<PatchOperation> {
    if added.is_empty() {
        return vec![];
    }
    let pairs = added.into_iter().map(|(key, value)| (key, Value::String(value)));
    if present {
        return pairs
            .map(|(key, value)| add(&["metadata", field, &key], value))
            .collect();
    }
    let map: Map<String, Value> = pairs.collect();
    vec![parent(raw, &["metadata", field], map.into())]
}

/// A parent that is not there: added, or in the place of a null.
fn parent(raw: &Value, path: &[&str], value: Value) -> PatchOperation {
    let path = PointerBuf::from_tokens(path.iter().copied());
    match raw.pointer(path.as_str()) {
        None => PatchOperation::Add(AddOperation { path, value }),
        Some(_) => PatchOperation::Replace(ReplaceOperation { path, value }),
    }
}

pub(super) fn add(path: &[&str], value: Value) -> PatchOperation {
    // `from_tokens` escapes the `/` and `~` of label and annotation keys.
    let path = PointerBuf::from_tokens(path.iter().copied());
    PatchOperation::Add(AddOperation { path, value })
}
