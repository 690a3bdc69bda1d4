//! A container of the proxy's name that the pod's author wrote: it says what should be different, as in Istio. It is taken
//! out of its place and merged over ours. A part of `sidecar`.

use serde_json::{Map, Value};

use super::{CREDENTIALS, PROXY, Taken};
use crate::inject::options::{Declared, Options};

/// How the items of a container's lists are told apart, as in the Kubernetes API's `patchMergeKey`; other lists are
/// replaced as a whole.
const KEYS: [(&str, &str); 4] = [
    ("env", "name"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
];

/// Variables that are the author's to set; the others are how the proxy knows its pod.
const FREE: [&str; 2] = ["OUTRIGGER_DRAIN_SECONDS", "OUTRIGGER_LOG"];

/// Our container with the author's values over it, and what was taken.
pub(super) fn merge(
    mut proxy: Value,
    options: &Options,
    warnings: &mut Vec<String>,
) -> (Value, Option<Taken>) {
    let Some(Declared {
        list,
        index,
        container,
    }) = &options.declared
    else {
        return (proxy, None);
    };
    if let (Some(ours), Some(theirs)) = (proxy.as_object_mut(), container.as_object()) {
        for (field, value) in theirs {
            match field.as_str() {
                // Istio's word for "the one that is injected".
                "image" if value == "auto" => {}
                // What the API server fills in for an image without a tag, before any webhook is asked.
                "imagePullPolicy" if value == "Always" && container["image"] == "auto" => {}
                "name" | "restartPolicy" => {}
                "env" => {
                    let (free, kept) = variables(value, ours);
                    warnings.extend(kept.iter().map(|name| {
                        format!("container {PROXY} sets {name}, which is the injector's and stays what it is")
                    }));
                    list_over(ours, "env", "name", &free);
                }
                "volumeMounts" => {
                    let free = items(value).filter(|mount| mount["mountPath"] != CREDENTIALS);
                    list_over(ours, field, "mountPath", &free.cloned().collect::<Vec<_>>());
                }
                _ => over(ours, field, value),
            }
        }
    }
    let taken = Taken {
        list,
        index: *index,
        container: (*container).clone(),
    };
    (proxy, Some(taken))
}

/// The author's variables that may be set, and the names of those that are not his.
fn variables(env: &Value, ours: &Map<String, Value>) -> (Vec<Value>, Vec<String>) {
    let name = |variable: &Value| variable["name"].as_str().unwrap_or_default().to_owned();
    let own: Vec<_> = items(&ours["env"]).map(name).collect();
    let is_ours = |variable: &Value| {
        let name = name(variable);
        (own.contains(&name) || name.starts_with("OUTRIGGER_")) && !FREE.contains(&name.as_str())
    };
    let (kept, free): (Vec<Value>, Vec<Value>) = items(env).cloned().partition(is_ours);
    (free, kept.iter().map(name).collect())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Objects that are one handler among several: merged, they would have two, which Kubernetes refuses.
const HANDLERS: [&str; 5] = [
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "postStart",
    "preStop",
];

/// Objects are merged, lists by their key if they have one, and all else is replaced.
fn over(ours: &mut Map<String, Value>, field: &str, theirs: &Value) {
    let key = KEYS.iter().find(|(list, _)| *list == field).map(|(_, key)| *key);
    match (ours.get_mut(field), theirs, key) {
        (Some(Value::Object(ours)), Value::Object(theirs), _) if !HANDLERS.contains(&field) => {
            for (field, value) in theirs {
                over(ours, field, value);
            }
        }
        (_, Value::Array(theirs), Some(key)) => list_over(ours, field, key, theirs),
        _ => {
            ours.insert(field.to_owned(), theirs.clone());
        }
    }
}

fn list_over(ours: &mut Map<String, Value>, field: &str, key: &str, theirs: &[Value]) {
    let list = ours.entry(field).or_insert_with(|| Value::Array(vec![]));
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for item in theirs {
        match list.iter_mut().find(|ours| ours[key] == item[key]) {
            Some(ours) => *ours = item.clone(),
            None => list.push(item.clone()),
        }
    }
}
