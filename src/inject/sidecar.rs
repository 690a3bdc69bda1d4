//! What is added to a pod, as a value: two init containers, a volume, labels and annotations.
//! Before it: `decide`. After it: `status`, which records it, and `patch`, which writes it.

use serde_json::{Value, json};

use super::pod::Pod;
use super::{Refusal, canonical, status};
use crate::settings::Settings;

/// The container that sets up iptables and exits.
pub(super) const INIT: &str = "outrigger-init";
/// The container that is the proxy: a native sidecar (an init container that keeps running, Kubernetes 1.29).
pub(super) const PROXY: &str = "outrigger-proxy";
/// The volume with the bound token and the control plane's certificate authority.
pub(super) const VOLUME: &str = "outrigger-credentials";

const BINARY: &str = "/usr/local/bin/outrigger-proxy";
const CREDENTIALS: &str = "/var/run/secrets/outrigger";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
const METRICS_PORT: u16 = 15020;
const READINESS_PORT: u16 = 15021;

/// What is added to one pod.
pub(super) struct Sidecar {
    /// In front of the pod's own init containers, in this order.
    pub(super) init_containers: Vec<Value>,
    pub(super) volumes: Vec<Value>,
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) annotations: Vec<(&'static str, String)>,
}

/// Says what to add. `workload` names the workload whose template this is, where the pod itself has no owner yet.
pub(super) fn sidecar(pod: &Pod, workload: Option<&str>, settings: &Settings) -> Result<Sidecar, Refusal> {
    refuse_taken_names(pod)?;
    let mut added = Sidecar {
        init_containers: vec![init_container(settings), proxy_container(settings)],
        volumes: vec![volume()],
        labels: canonical::labels(pod, workload),
        annotations: vec![],
    };
    if pod.annotation(DEFAULT_CONTAINER).is_none() {
        let first = super::pod::name(&pod.containers[0]).to_string();
        added.annotations.push((DEFAULT_CONTAINER, first));
    }
    added
        .annotations
        .push((status::ANNOTATION, status::record(pod, &added, settings)));
    Ok(added)
}

fn refuse_taken_names(pod: &Pod) -> Result<(), Refusal> {
    let containers = pod
        .all_containers()
        .filter(|(_, name)| [INIT, PROXY].contains(name));
    let volumes = pod.all_volumes().filter(|(_, name)| *name == VOLUME);
    let containers = containers.map(|taken| ("container", taken));
    match containers.chain(volumes.map(|taken| ("volume", taken))).next() {
        None => Ok(()),
        Some((kind, (path, name))) => Err(Refusal::NameTaken {
            path,
            kind,
            name: name.into(),
        }),
    }
}

/// Programs iptables, for which it has to be root with two capabilities; all else is taken from it.
fn init_container(settings: &Settings) -> Value {
    let proxy = &settings.proxy;
    json!({
        "name": INIT,
        "image": proxy.image,
        "imagePullPolicy": proxy.image_pull_policy,
        "command": [BINARY],
        "args": [
            "init",
            "--proxy-uid", proxy.uid.to_string(),
            "--outbound-port", "15001",
            "--inbound-port", "15006",
            "--exclude-inbound-ports", format!("{METRICS_PORT},{READINESS_PORT}"),
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

fn proxy_container(settings: &Settings) -> Value {
    let proxy = &settings.proxy;
    let ready = json!({"path": "/healthz/ready", "port": READINESS_PORT});
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    json!({
        "name": PROXY,
        "image": proxy.image,
        "imagePullPolicy": proxy.image_pull_policy,
        "command": [BINARY],
        "args": ["run"],
        "restartPolicy": "Always",
        "env": [
            {"name": "POD_NAME", "valueFrom": field("metadata.name")},
            {"name": "POD_NAMESPACE", "valueFrom": field("metadata.namespace")},
            {"name": "OUTRIGGER_DISCOVERY_ADDRESS", "value": proxy.discovery_address},
            {"name": "OUTRIGGER_CA_FILE", "value": format!("{CREDENTIALS}/ca.pem")},
            {"name": "OUTRIGGER_TOKEN_FILE", "value": format!("{CREDENTIALS}/token")},
            {"name": "OUTRIGGER_LOG", "value": proxy.log_level},
            {"name": "OUTRIGGER_DRAIN_SECONDS", "value": proxy.drain_seconds.to_string()},
        ],
        // Port names are searched by a Service's named targetPort, so they must not be names that an application uses.
        "ports": [
            {"name": "outrigger-prom", "containerPort": METRICS_PORT, "protocol": "TCP"},
            {"name": "outrigger-ready", "containerPort": READINESS_PORT, "protocol": "TCP"},
        ],
        // The application starts when the startup probe has passed; ten minutes for a control plane that is on its way.
        "startupProbe": {"httpGet": ready, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 600},
        "readinessProbe": {"httpGet": ready, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 3},
        "resources": proxy.resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": proxy.uid,
            "runAsNonRoot": true,
            "runAsUser": proxy.uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": VOLUME, "mountPath": CREDENTIALS, "readOnly": true}],
    })
}

/// The token is bound to the pod and good for nothing but the control plane; the kubelet renews it.
fn volume() -> Value {
    json!({
        "name": VOLUME,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"audience": "outrigger", "expirationSeconds": 43200, "path": "token"}},
                {"configMap": {"name": "outrigger-ca-root", "items": [{"key": "ca.pem", "path": "ca.pem"}]}},
            ],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(metadata: Value) -> Value {
        json!({"metadata": metadata, "spec": {"containers": [{"name": "app"}]}})
    }

    #[test]
    fn what_the_author_wrote_stays() {
        let metadata = json!({
            "labels": {canonical::NAME: "mine", canonical::REVISION: "7"},
            "annotations": {DEFAULT_CONTAINER: "other"},
        });
        let pod = pod(metadata);
        let view = Pod::read(&pod, "").expect("a pod");
        let added = sidecar(&view, None, &Settings::default()).expect("a sidecar");
        assert!(added.labels.is_empty(), "{:?}", added.labels);
        let annotations: Vec<_> = added.annotations.iter().map(|(key, _)| *key).collect();
        assert_eq!(annotations, [status::ANNOTATION]);
    }

    #[test]
    fn a_name_that_is_ours_is_refused() {
        let table = [
            (
                "containers",
                json!([{"name": "app"}, {"name": PROXY}]),
                "spec.containers[1]",
                PROXY,
            ),
            (
                "initContainers",
                json!([{"name": INIT}]),
                "spec.initContainers[0]",
                INIT,
            ),
            (
                "volumes",
                json!([{"name": "a"}, {"name": VOLUME}]),
                "spec.volumes[1]",
                VOLUME,
            ),
        ];
        for (field, list, path, name) in table {
            let mut pod = pod(json!({}));
            pod["spec"][field] = list;
            let view = Pod::read(&pod, "").expect("a pod");
            let refusal = sidecar(&view, None, &Settings::default())
                .err()
                .expect("refused")
                .to_string();
            assert!(refusal.contains(path) && refusal.contains(name), "{refusal}");
        }
    }
}
