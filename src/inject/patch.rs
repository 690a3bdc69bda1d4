//! The explicit RFC 6902 operations that write a `Sidecar` into a pod: only additions, nothing reordered, and a parent is
//! created only where it is absent. Before it: `sidecar`. After it: the API server, or `manifest`, applies them.

use json_patch::{AddOperation, Patch, PatchOperation, jsonptr::PointerBuf};
use serde_json::{Map, Value};

use super::pod::Pod;
use super::sidecar::Sidecar;

/// The operations, with paths from the top of the pod.
pub(super) fn patch(pod: &Pod, sidecar: &Sidecar) -> Patch {
    let mut operations = vec![];
    if pod.metadata.is_none() {
        operations.push(add(&["metadata"], Value::Object(Map::new())));
    }
    entries(&mut operations, "labels", pod.labels, &sidecar.labels);
    entries(
        &mut operations,
        "annotations",
        pod.annotations,
        &sidecar.annotations,
    );
    match pod.init_containers {
        None => operations.push(add(
            &["spec", "initContainers"],
            sidecar.init_containers.clone().into(),
        )),
        Some(_) => operations.extend((0..).zip(&sidecar.init_containers).map(|(index, container)| {
            add(
                &["spec", "initContainers", &format!("{index}")],
                container.clone(),
            )
        })),
    }
    match pod.volumes {
        None => operations.push(add(&["spec", "volumes"], sidecar.volumes.clone().into())),
        Some(_) => operations.extend(
            sidecar
                .volumes
                .iter()
                .map(|volume| add(&["spec", "volumes", "-"], volume.clone())),
        ),
    }
    Patch(operations)
}

fn entries(
    operations: &mut Vec<PatchOperation>,
    field: &str,
    present: Option<&Map<String, Value>>,
    added: &[(&'static str, String)],
) {
    let pairs = || {
        added
            .iter()
            .map(|(key, value)| (*key, Value::String(value.clone())))
    };
    if added.is_empty() {
        return;
    }
    match present {
        None => {
            let map: Map<String, Value> = pairs().map(|(key, value)| (key.to_string(), value)).collect();
            operations.push(add(&["metadata", field], map.into()));
        }
        Some(_) => operations.extend(pairs().map(|(key, value)| add(&["metadata", field, key], value))),
    }
}

fn add(path: &[&str], value: Value) -> PatchOperation {
    // `from_tokens` escapes the `/` and `~` of label and annotation keys.
    let path = PointerBuf::from_tokens(path.iter().copied());
    PatchOperation::Add(AddOperation { path, value })
}
