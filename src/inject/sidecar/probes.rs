//! The kubelet's probes and hooks, led to the proxy, which asks the application: what the mesh may one day demand of
//! whoever connects need not be demanded of the kubelet. A part of `sidecar`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{METRICS_PORT, PROXY, Replacement, Sidecar};
use crate::inject::pod::{Pod, name};

/// Probes and what the proxy calls them.
const PROBES: [(&str, &str); 3] = [
    ("livenessProbe", "livez"),
    ("readinessProbe", "readyz"),
    ("startupProbe", "startupz"),
];
/// Lifecycle hooks and what the proxy calls them.
const HOOKS: [(&str, &str); 2] = [("postStart", "poststart"), ("preStop", "prestop")];

/// Linux takes variables of up to 128 KiB, and Kubernetes annotations, in which the status holds the probes too, of 256 KiB
/// in all.
const LARGEST: usize = 64 * 1024;

/// Adds what changes in the containers, and gives what the proxy is to do, by path.
pub(super) fn rewrite(pod: &Pod, native: bool, hold: bool, sidecar: &mut Sidecar) -> Map<String, Value> {
    let (mut probes, mut names) = (Map::new(), BTreeSet::new());
    // Beside an ordinary container's proxy, init containers are over before it runs.
    let sidecars = pod.init_containers.unwrap_or_default().iter();
    let sidecars = sidecars.filter(|it| native && it["restartPolicy"] == "Always");
    let containers = pod.containers.iter().map(|it| ("containers", it));
    for (list, container) in sidecars.map(|it| ("initContainers", it)).chain(containers) {
        // A place and a path name one container. Kubernetes refuses the pod if they do not.
        if name(container) == PROXY || !is_label(name(container)) || !names.insert(name(container)) {
            continue;
        }
        let at = format!("spec.{list}[{}]", name(container));
        for (field, word) in PROBES {
            let path = format!("/app-health/{}/{word}", name(container));
            let Some(probe) = resolved(&container[field], container) else {
                continue;
            };
            sidecar
                .replaced
                .push(replacement(&format!("{at}.{field}"), &container[field], &path));
            probes.insert(path, probe);
        }
        for (field, word) in HOOKS {
            // Without waiting for the proxy, the hook may come before it.
            if field == "postStart" && !native && !hold {
                continue;
            }
            let path = format!("/app-lifecycle/{}/{word}", name(container));
            let hook = &container["lifecycle"][field];
            let Some(action) = resolved(hook, container).filter(|action| action.get("httpGet").is_some())
            else {
                continue;
            };
            sidecar
                .replaced
                .push(replacement(&format!("{at}.lifecycle.{field}"), hook, &path));
            probes.insert(path, action);
        }
    }
    let size = serde_json::to_string(&probes).expect("probes are JSON").len();
    if size > LARGEST {
        sidecar.replaced.clear();
        sidecar.warnings.push(format!(
            "the pod's probes take {size} bytes, more than the {LARGEST} that the proxy can be told in one variable: the \
             kubelet asks the application itself"
        ));
        return Map::new();
    }
    probes
}

fn is_label(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What of a probe or hook the proxy has to know, with the port's number. `None` for one that runs a program, for one that
/// was led to the proxy before, for one whose `host` is the node's own loopback, which the proxy does not reach, and for one
/// that cannot be resolved: they stay what they are.
fn resolved(probe: &Value, container: &Value) -> Option<Value> {
    let (kind, action) = ["httpGet", "tcpSocket", "grpc"]
        .into_iter()
        .find_map(|kind| Some((kind, probe.get(kind)?.as_object()?)))?;
    let port = port(action.get("port")?, container)?;
    let host = action.get("host").and_then(Value::as_str).unwrap_or_default();
    let loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if port == METRICS_PORT || loopback {
        return None;
    }
    let mut action = without_nulls(action);
    action.insert("port".into(), port.into());
    let mut resolved = Map::from_iter([(kind.to_owned(), Value::Object(action))]);
    let timeout = probe.get("timeoutSeconds").filter(|seconds| seconds.is_u64());
    resolved.extend(timeout.map(|seconds| ("timeoutSeconds".to_owned(), seconds.clone())));
    Some(resolved.into())
}

/// The action as an API server would store it: a null in a file says that a field is absent.
fn without_nulls(action: &Map<String, Value>) -> Map<String, Value> {
    let item = |item: &Value| {
        item.as_object()
            .map_or(item.clone(), |item| without_nulls(item).into())
    };
    let present = action.iter().filter(|(_, value)| !value.is_null());
    present
        .map(|(field, value)| match value {
            Value::Array(list) => (field.clone(), list.iter().map(item).collect()),
            _ => (field.clone(), value.clone()),
        })
        .collect()
}

/// A port by number, or by the name that the container's own list has for it, as the kubelet reads it.
fn port(port: &Value, container: &Value) -> Option<u16> {
    let number = match port {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Value::String(text) => {
            let mut ports = container["ports"].as_array()?.iter();
            ports.find(|port| port["name"] == **text)?["containerPort"].as_u64()
        }
        _ => None,
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0)
}

/// The same probe, of the proxy: all that the kubelet keeps time by stays. Of an HTTP probe only the action changes.
fn replacement(at: &str, probe: &Value, path: &str) -> Replacement {
    let action = json!({"path": path, "port": METRICS_PORT});
    if let Some(was) = probe.get("httpGet").filter(|action| action.is_object()) {
        return Replacement {
            at: format!("{at}.httpGet"),
            was: was.clone(),
            now: action,
        };
    }
    let fields = probe.as_object().into_iter().flatten();
    let fields = fields.filter(|(key, _)| *key != "httpGet");
    let now = fields.map(|(key, value)| match key.as_str() {
        "tcpSocket" | "grpc" if value.is_object() => ("httpGet".to_owned(), action.clone()),
        _ => (key.clone(), value.clone()),
    });
    Replacement {
        at: at.to_owned(),
        was: probe.clone(),
        now: now.collect::<Map<_, _>>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(field: &str, probe: Value) -> Value {
        json!({
            "name": "app", field: probe,
            "ports": [{"name": "web", "containerPort": 8080}, {"name": "rpc", "containerPort": 9090}],
        })
    }

    /// What becomes of one probe of a container, and what the proxy is told about it.
    fn check(field: &str, probe: Value, expected: Option<(Value, Value)>) {
        let pod = json!({"spec": {"containers": [container(field, probe.clone())]}});
        let (mut sidecar, view) = (Sidecar::default(), Pod::read(&pod, "").expect("a pod"));
        let probes = rewrite(&view, true, true, &mut sidecar);
        let found = sidecar.replaced.pop().zip(probes.into_iter().next());
        let found = found.map(|(replaced, (_, told))| (replaced.now, told));
        assert_eq!(found, expected, "{field} {probe}");
    }

    #[test]
    fn probes_keep_all_but_whom_they_ask() {
        let at = |word: &str| json!({"path": format!("/app-health/app/{word}"), "port": 15020});
        let headers = json!([{"name": "Host", "value": "shop"}]);
        let full = json!({"path": "/live", "port": "web", "scheme": "HTTPS", "host": "10.0.0.1", "httpHeaders": headers});
        let told = json!({"path": "/live", "port": 8080, "scheme": "HTTPS", "host": "10.0.0.1", "httpHeaders": headers});
        check(
            "livenessProbe",
            json!({"httpGet": full, "timeoutSeconds": 3, "periodSeconds": 7}),
            Some((at("livez"), json!({"httpGet": told, "timeoutSeconds": 3}))),
        );
        check(
            "readinessProbe",
            json!({"periodSeconds": 7, "tcpSocket": {"port": "rpc"}, "failureThreshold": 2}),
            Some((
                json!({"periodSeconds": 7, "httpGet": at("readyz"), "failureThreshold": 2}),
                json!({"tcpSocket": {"port": 9090}}),
            )),
        );
        check(
            "startupProbe",
            json!({"grpc": {"port": 9090, "service": "shop"}}),
            Some((
                json!({"httpGet": at("startupz")}),
                json!({"grpc": {"port": 9090, "service": "shop"}}),
            )),
        );
        check(
            "lifecycle",
            json!({"preStop": {"httpGet": {"path": "/stop", "port": 1}}}),
            Some((
                json!({"path": "/app-lifecycle/app/prestop", "port": 15020}),
                json!({"httpGet": {"path": "/stop", "port": 1}}),
            )),
        );
    }

    #[test]
    fn probes_that_no_variable_holds_stay() {
        let check = |length: usize, expected: usize| {
            let probe = json!({"httpGet": {"path": "x".repeat(length), "port": 80}});
            let pod = json!({"spec": {"containers": [container("livenessProbe", probe)]}});
            let (mut sidecar, view) = (Sidecar::default(), Pod::read(&pod, "").expect("a pod"));
            let probes = rewrite(&view, true, true, &mut sidecar);
            assert_eq!(
                (probes.len(), sidecar.replaced.len()),
                (expected, expected),
                "{length}"
            );
            assert_eq!(sidecar.warnings.len(), 1 - expected, "{length}");
        };
        check(60_000, 1);
        check(70_000, 0);
    }

    #[test]
    fn what_cannot_be_asked_for_stays() {
        for probe in [
            json!({"exec": {"command": ["true"]}}),
            json!({"httpGet": {"port": "unknown"}}),
            json!({"httpGet": {"port": 0}}),
            json!({"httpGet": {"port": 70000}}),
            json!({"httpGet": {"path": "/"}}),
            json!({"httpGet": {"port": 80, "host": "127.0.0.1"}}),
            json!({"httpGet": {"port": 80, "host": "localhost"}}),
            json!({"httpGet": {"port": 15020, "path": "/app-health/app/livez"}}),
            json!({"grpc": null}),
            json!(null),
            json!("text"),
        ] {
            check("livenessProbe", probe, None);
        }
        check(
            "lifecycle",
            json!({"postStart": {"exec": {"command": ["true"]}}}),
            None,
        );
        check("lifecycle", json!({"preStop": {"tcpSocket": {"port": 80}}}), None);
        check("lifecycle", json!({"preStop": {"sleep": {"seconds": 1}}}), None);
    }
}
