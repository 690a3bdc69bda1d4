//! The two containers and the volume. Every value in them is typed or was checked: no annotation's text reaches a command
//! line. A part of `sidecar`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{CREDENTIALS, INIT, METRICS_PORT, PROBES, PROXY, READINESS_PORT, VOLUME};
use crate::inject::options::Options;
use crate::settings::{AccessLog, CaptureBy, Settings};
use outrigger_proxy::init::InitArgs;

const BINARY: &str = "/usr/local/bin/outrigger-proxy";

/// Programs iptables, for which it has to be root with two capabilities; all else is taken from it. Where something else
/// does that, it only looks whether it was done, as a user that is neither root nor the proxy.
pub(super) fn init(options: &Options, settings: &Settings) -> Value {
    let verify = options.capture == CaptureBy::External;
    let args = InitArgs {
        verify,
        ..options.init.clone()
    };
    let mut security = restricted(options.init.proxy_uid.wrapping_add(1));
    if !verify {
        security["capabilities"]["add"] = json!(["NET_ADMIN", "NET_RAW"]);
        security["runAsGroup"] = 0.into();
        security["runAsNonRoot"] = false.into();
        security["runAsUser"] = 0.into();
    }
    Value::from_iter([
        ("name", INIT.into()),
        ("image", options.image.as_str().into()),
        ("imagePullPolicy", json!(settings.proxy.image_pull_policy)),
        ("command", json!([BINARY])),
        ("args", args.to_args().into()),
        (
            "resources",
            json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}),
        ),
        ("securityContext", security),
        ("volumeMounts", json!([mount()])),
    ])
}

/// The proxy, as an init container that keeps running or as an ordinary one. Not one `json!`, which would copy every value
/// that is put into it.
pub(super) fn proxy(
    options: &Options,
    settings: &Settings,
    probes: &Map<String, Value>,
    metrics: Option<Value>,
) -> Value {
    // Without names: a Service's named targetPort is searched in all of a pod's containers.
    let ports = json!([
        {"containerPort": METRICS_PORT, "protocol": "TCP"},
        {"containerPort": READINESS_PORT, "protocol": "TCP"},
    ]);
    let mut proxy = Value::from_iter([
        ("name", PROXY.into()),
        ("image", options.image.as_str().into()),
        ("imagePullPolicy", json!(settings.proxy.image_pull_policy)),
        ("command", json!([BINARY])),
        ("args", json!(["run"])),
        ("env", env(options, settings, probes, metrics).into()),
        ("ports", ports),
        ("readinessProbe", ready(5, 3)),
        ("resources", json!(options.resources)),
        ("securityContext", restricted(options.init.proxy_uid)),
        ("volumeMounts", mounts(options).into()),
    ]);
    // What holds the application back until the proxy is ready waits ten minutes, for a control plane that is on its way.
    if options.native {
        proxy["restartPolicy"] = "Always".into();
        proxy["startupProbe"] = ready(1, 600);
    } else if options.hold {
        // The kubelet starts the next container when the hook of this one has ended.
        proxy["lifecycle"] = json!({"postStart": {"exec": {"command": [BINARY, "wait"]}}});
    }
    proxy
}

fn ready(period_seconds: u32, failure_threshold: u32) -> Value {
    json!({
        "httpGet": {"path": "/healthz/ready", "port": READINESS_PORT},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 3,
        "failureThreshold": failure_threshold,
    })
}

fn env(
    options: &Options,
    settings: &Settings,
    probes: &Map<String, Value>,
    metrics: Option<Value>,
) -> Vec<Value> {
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let value = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut env = vec![
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("POD_IP", "status.podIP"),
        value("OUTRIGGER_DISCOVERY_ADDRESS", &settings.proxy.discovery_address),
        value("OUTRIGGER_CA_FILE", &format!("{CREDENTIALS}/ca.pem")),
        value("OUTRIGGER_TOKEN_FILE", &format!("{CREDENTIALS}/token")),
        value("OUTRIGGER_LOG", &options.log_level),
        value("OUTRIGGER_DRAIN_SECONDS", &options.drain_seconds.to_string()),
    ];
    if settings.proxy.access_log != AccessLog::Off {
        env.push(value("OUTRIGGER_ACCESS_LOG", settings.proxy.access_log.as_str()));
    }
    if !options.native {
        env.push(value("OUTRIGGER_CLASSIC", "true"));
    }
    if !probes.is_empty() {
        env.push(value(PROBES, &variable(probes)));
    }
    if let Some(metrics) = metrics {
        env.push(value("OUTRIGGER_APP_METRICS", &variable(&metrics)));
    }
    env
}

/// JSON for a variable. The kubelet takes `$(NAME)` in it for a reference, so that a `$` is written in JSON's other way.
pub(in crate::inject) fn variable(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("a map or a value is JSON");
    text.replace('$', "\\u0024")
}

fn mounts(options: &Options) -> Vec<Value> {
    std::iter::once(mount())
        .chain(options.mounts.iter().cloned())
        .collect()
}

/// Of the credentials. To iptables they are of no use; see [`CREDENTIALS`].
fn mount() -> Value {
    json!({"name": VOLUME, "mountPath": CREDENTIALS, "readOnly": true})
}

/// What the restricted Pod Security level asks for.
fn restricted(uid: u32) -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "privileged": false,
        "readOnlyRootFilesystem": true,
        "runAsGroup": uid,
        "runAsNonRoot": true,
        "runAsUser": uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// The token is bound to the pod and good for nothing but the control plane; the kubelet renews it.
pub(super) fn credentials() -> Value {
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
