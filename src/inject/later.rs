//! A pod that was injected and is shown again because another webhook has changed it since (reinvocationPolicy IfNeeded):
//! the probes of containers that came later go through the proxy too. All else stays as it was left, and without such
//! containers the patch is empty. Before it: `decide`. After it: `patch`.

use json_patch::{Patch, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use serde_json::{Map, Value, json};

use super::options::rewrites_probes;
use super::patch::{add, replacements};
use super::pod::Pod;
use super::sidecar::{PROBES, PROXY, later_probes, variable};
use super::status::{ANNOTATION, Status};
use super::{Namespace, Refusal, again, place};
use crate::settings::Settings;

/// The operations, with paths from the top of the pod.
pub(super) fn patch(
    raw: &Value,
    pod: &Pod,
    mut status: Status,
    namespace: &Namespace,
    settings: &Settings,
) -> Result<Patch, Refusal> {
    if !rewrites_probes(pod, settings)? {
        return Ok(Patch::default());
    }
    let native = status.init_containers.iter().any(|name| name == PROXY);
    let list = if native { "initContainers" } else { "containers" };
    let Some(proxy) = place::pointer(raw, &format!("spec.{list}[{PROXY}]")) else {
        return Ok(Patch::default());
    };
    let container = raw.pointer(proxy.as_str()).unwrap_or(&Value::Null);
    let (added, sidecar) = later_probes(pod, native, !container["lifecycle"].is_null());
    if added.is_empty() {
        return Ok(Patch::default());
    }
    status.replace(&sidecar);
    let mut operations: Vec<_> = replacements(raw, sidecar.replaced).collect();
    operations.push(variable_with(container, &proxy, added));
    let mut changed = raw.clone();
    let text = |status: &Status| {
        let path = PointerBuf::from_tokens(["metadata", "annotations", ANNOTATION]);
        let value = status.text().into();
        PatchOperation::Replace(ReplaceOperation { path, value })
    };
    operations.push(text(&status));
    super::undo::apply(&mut changed, &Patch(operations.clone()));
    // As if the containers had been there from the start, so that an audit compares like with like.
    if let Some(fingerprint) = again(&changed, namespace, settings)?.fingerprint {
        status.fingerprint = fingerprint;
        operations.pop();
        operations.push(text(&status));
    }
    Ok(Patch(operations))
}

/// The proxy's variable with the probes that it has and those that came later.
fn variable_with(proxy: &Value, at: &PointerBuf, added: Map<String, Value>) -> PatchOperation {
    let env = proxy["env"].as_array();
    let found = env.and_then(|env| env.iter().position(|variable| variable["name"] == PROBES));
    let known = found.and_then(|index| serde_json::from_str(proxy["env"][index]["value"].as_str()?).ok());
    let mut probes: Map<String, Value> = known.unwrap_or_default();
    probes.extend(added);
    let value = variable(&probes);
    let mut path: Vec<String> = at.tokens().map(|token| token.decoded().into_owned()).collect();
    path.push("env".into());
    let tokens = |path: &[String]| PointerBuf::from_tokens(path.iter().map(String::as_str));
    match (env, found) {
        (_, Some(index)) => {
            path.extend([index.to_string(), "value".to_owned()]);
            let (path, value) = (tokens(&path), value.into());
            PatchOperation::Replace(ReplaceOperation { path, value })
        }
        (Some(_), None) => {
            path.push("-".into());
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            add(&path, json!({"name": PROBES, "value": value}))
        }
        (None, None) => {
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            add(&path, json!([{"name": PROBES, "value": value}]))
        }
    }
}
