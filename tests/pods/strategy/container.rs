//! Containers of each sort: of the application, to initialise, native sidecars, ephemeral. Names are given by `strategy`.
//! After it: `handler` (their probes and lifecycle hooks).

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::handler::{lifecycle, probe};
use super::object::{flag, json, object, often, one_of, optional, rarely, required};

/// A container of the application.
pub(super) fn container() -> BoxedStrategy<Value> {
    object([common(), kept_running()].concat())
}

/// An init container that ends before the next one starts: it can have no probes and no hooks.
pub(super) fn plain_init() -> BoxedStrategy<Value> {
    object(common())
}

/// An init container that keeps running.
pub(super) fn native_sidecar() -> BoxedStrategy<Value> {
    let always = vec![required("restartPolicy", one_of(["Always"]))];
    object([common(), kept_running(), always].concat())
}

/// A container for debugging: without ports, probes, hooks and resources.
pub(super) fn ephemeral() -> BoxedStrategy<Value> {
    object(vec![
        required("name", Just(Value::Null)),
        required("image", one_of(["busybox"])),
        optional("targetContainerName", one_of(["app"])),
        rarely("securityContext", Just(json!({"runAsUser": 1337}))),
    ])
}

/// User ids, the proxy's among them.
pub(super) fn user() -> BoxedStrategy<Value> {
    select(vec![0u64, 1, 1000, 1337, 1338, 65534, 1_000_650_000])
        .prop_map(Value::from)
        .boxed()
}

type Fields = Vec<BoxedStrategy<Option<(&'static str, Value)>>>;

fn common() -> Fields {
    let mount = select(vec![
        json!({"name": "data", "mountPath": "/data"}),
        json!({"mountPath": "/var/lib/\u{e4}pp", "name": "data", "readOnly": true, "subPath": "a/b"}),
        json!({"name": "data", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}),
    ]);
    vec![
        required("name", Just(Value::Null)),
        required("image", one_of(["example.org/web:1", "web@sha256:0000", "auto"])),
        optional(
            "command",
            Just(json!(["/bin/sh", "-c", "echo \"$(A)\" \u{2713}; sleep 1d"])),
        ),
        optional("args", Just(json!(["--verbose", ""]))),
        rarely("workingDir", one_of(["/srv"])),
        optional("env", env()),
        rarely("envFrom", Just(json!([{"configMapRef": {"name": "settings"}}]))),
        optional("resources", resources()),
        optional("volumeMounts", vec(mount, 0..2).prop_map(Value::Array)),
        optional("securityContext", security_context()),
        rarely("terminationMessagePath", one_of(["/dev/termination-log"])),
        optional("imagePullPolicy", one_of(["Always", "IfNotPresent", "Never"])),
        rarely("aFieldOfTomorrow", json()),
    ]
}

/// What only a container has that is not to end.
fn kept_running() -> Fields {
    vec![
        optional("ports", ports()),
        optional("livenessProbe", probe(true)),
        optional("readinessProbe", probe(false)),
        optional("startupProbe", probe(true)),
        rarely("lifecycle", lifecycle()),
    ]
}

/// Ports that the names in probes mean, and some that nobody can have beside the proxy.
fn ports() -> BoxedStrategy<Value> {
    let all = vec![
        json!({"containerPort": 8080, "name": "http"}),
        json!({"name": "grpc-web", "containerPort": 9000, "protocol": "TCP"}),
        json!({"name": "dns", "containerPort": 53, "protocol": "UDP"}),
        json!({"containerPort": 443, "hostPort": 8443}),
        json!({"name": "outrigger-prom", "containerPort": 9090}),
        json!({"containerPort": 15001, "aFieldOfTomorrow": 1}),
    ];
    let some = subsequence(all.clone(), 0..=4);
    prop_oneof![6 => some, 1 => Just(all)]
        .prop_shuffle()
        .prop_map(Value::Array)
        .boxed()
}

fn env() -> BoxedStrategy<Value> {
    let variable = prop_oneof![
        4 => ("[A-Z]{1,3}", "\\PC{0,16}").prop_map(|(name, value)| json!({"name": name, "value": value})),
        1 => Just(json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})),
        1 => Just(json!({"valueFrom": {"secretKeyRef": {"key": "a", "name": "b"}}, "name": "OUTRIGGER_PROBES"})),
        1 => Just(json!({"name": "EMPTY"})),
    ];
    let many = (100..500usize).prop_map(|count| {
        let variable =
            |index| json!({"name": format!("VARIABLE_{index}"), "value": format!("value {index}")});
        Value::Array((0..count).map(variable).collect())
    });
    prop_oneof![30 => vec(variable, 0..4).prop_map(Value::Array), 1 => many].boxed()
}

fn resources() -> BoxedStrategy<Value> {
    let amounts = |cpu| {
        object(vec![
            often("cpu", one_of(cpu)),
            optional("memory", one_of(["64Mi", "1e8"])),
        ])
    };
    object(vec![
        optional("requests", amounts(["10m", "0.5"])),
        optional("limits", amounts(["2", "1500m"])),
    ])
}

fn security_context() -> BoxedStrategy<Value> {
    object(vec![
        optional("runAsUser", user()),
        rarely("runAsGroup", user()),
        optional("runAsNonRoot", flag()),
        rarely("allowPrivilegeEscalation", flag()),
        rarely("readOnlyRootFilesystem", flag()),
        rarely(
            "capabilities",
            Just(json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})),
        ),
        rarely(
            "seccompProfile",
            Just(json!({"localhostProfile": "a.json", "type": "Localhost"})),
        ),
        rarely("procMount", one_of(["Default"])),
    ])
}
