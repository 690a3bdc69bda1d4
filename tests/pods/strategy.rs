//! Pods for the properties: what Kubernetes accepts, in any mix ([`pods`]), pods of which one part is anything at all
//! ([`wild`]), and JSON that is no pod ([`json`]). Fields come in any order. After it: `properties`.

mod annotations;
mod container;
mod handler;
pub(crate) mod object;
mod settings;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde_json::{Value, json};

pub(super) use annotations::BAD;
pub(super) use object::json;
use object::{flag, object, often, one_of, optional, rarely, required, strings};
pub(super) use settings::settings;

/// What Outrigger calls its own. A pod that has one of these is refused or worked around.
pub(super) const OURS: [&str; 3] = ["outrigger-init", "outrigger-proxy", "outrigger-credentials"];

/// Pods as the API server hands them to a webhook or as an author writes them.
pub(super) fn pods() -> BoxedStrategy<Value> {
    let pod = object(vec![
        often("apiVersion", one_of(["v1"])),
        often("kind", one_of(["Pod"])),
        often("metadata", metadata()),
        required("spec", spec()),
        rarely(
            "status",
            Just(json!({"phase": "Pending", "unknown": [1.5, null]})),
        ),
        rarely("aFieldOfTomorrow", json()),
    ]);
    let ours = prop_oneof![40 => Just(None), 1 => (0..OURS.len()).prop_map(Some)];
    (pod, ours)
        .prop_map(|(mut pod, ours)| {
            name_containers(&mut pod, ours);
            provide_volume(&mut pod, ours);
            pod
        })
        .boxed()
}

/// A pod in which one value, wherever it stands, is replaced by any other.
pub(super) fn wild() -> BoxedStrategy<Value> {
    (pods(), any::<Index>(), json())
        .prop_map(|(mut pod, index, value)| {
            let mut pointers = vec![];
            collect(&pod, "", &mut pointers);
            let pointer: &String = index.get(&pointers);
            *pod.pointer_mut(pointer).expect("a pointer to a value") = value;
            pod
        })
        .boxed()
}

/// The JSON pointers of all values.
fn collect(value: &Value, at: &str, pointers: &mut Vec<String>) {
    pointers.push(at.into());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            collect(value, &format!("{at}/{key}"), pointers);
        }),
        Value::Array(list) => list.iter().enumerate().for_each(|(index, value)| {
            collect(value, &format!("{at}/{index}"), pointers);
        }),
        _ => {}
    }
}

fn metadata() -> BoxedStrategy<Value> {
    let owner = |kind: &str, name: &str| {
        Just(json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "1", "controller": true}]))
    };
    let owners = prop_oneof![
        owner("ReplicaSet", "web-5d8f7c9b4"),
        owner("Job", "nightly-28"),
        Just(json!([])),
    ];
    object(vec![
        optional("name", one_of(["web", "a.b.c", "web-5d8f7c9b4-x7x2p"])),
        often("generateName", one_of(["web-", "nightly-28-"])),
        rarely("namespace", one_of(["shop"])),
        often("labels", labels()),
        often("annotations", annotations::annotations()),
        optional("creationTimestamp", Just(Value::Null)),
        rarely("ownerReferences", owners),
    ])
}

fn labels() -> BoxedStrategy<Value> {
    strings(vec![
        optional("app", one_of(["web", ""])),
        optional("version", one_of(["v1", "v2"])),
        rarely("app.kubernetes.io/name", one_of(["shop"])),
        rarely("app.kubernetes.io/version", one_of(["1.2.3"])),
        rarely("pod-template-hash", one_of(["5d8f7c9b4"])),
        rarely("service.istio.io/canonical-name", one_of(["mine"])),
        rarely("sidecar.istio.io/inject", one_of(["true", "false", ""])),
        rarely("example.org/a_b.c-d", one_of(["x"])),
    ])
}

fn spec() -> BoxedStrategy<Value> {
    let some = |strategy, count: std::ops::Range<usize>| vec(strategy, count).prop_map(Value::Array);
    let containers = prop_oneof![
        20 => some(container::container(), 1..4),
        1 => some(container::container(), 4..12),
    ];
    let init = prop_oneof![3 => container::plain_init(), 2 => container::native_sidecar()].boxed();
    object(vec![
        required("containers", containers),
        optional("initContainers", some(init, 0..3)),
        rarely("ephemeralContainers", some(container::ephemeral(), 1..2)),
        optional("volumes", volumes()),
        optional("securityContext", security_context()),
        rarely("hostNetwork", flag()),
        rarely("hostUsers", flag()),
        rarely("os", Just(json!({"name": "linux"}))),
        optional("restartPolicy", one_of(["Always", "Never", "OnFailure"])),
        optional("terminationGracePeriodSeconds", (0..600u32).prop_map(Value::from)),
        optional("serviceAccountName", one_of(["default"])),
        rarely("automountServiceAccountToken", flag()),
        rarely("shareProcessNamespace", flag()),
        rarely("nodeSelector", Just(json!({"kubernetes.io/os": "linux"}))),
        rarely("tolerations", Just(json!([{"operator": "Exists"}]))),
        rarely("aFieldOfTomorrow", json()),
    ])
}

fn volumes() -> BoxedStrategy<Value> {
    let token = json!({"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}});
    let all = vec![
        json!({"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}),
        json!({"configMap": {"name": "settings", "items": [{"key": "a", "path": "b"}]}, "name": "settings"}),
        json!({"name": "kube-api-access-x7x2p", "projected": {"defaultMode": 420, "sources": [token]}}),
    ];
    subsequence(all, 0..=3).prop_map(Value::Array).boxed()
}

fn security_context() -> BoxedStrategy<Value> {
    object(vec![
        optional("runAsUser", container::user()),
        optional("runAsGroup", container::user()),
        optional("runAsNonRoot", flag()),
        optional("fsGroup", container::user()),
        rarely("supplementalGroups", Just(json!([2000, 1337]))),
        rarely("seccompProfile", Just(json!({"type": "RuntimeDefault"}))),
        rarely(
            "sysctls",
            Just(json!([{"name": "net.ipv4.tcp_syncookies", "value": "1"}])),
        ),
    ])
}

/// Gives each container a name that no other has, and with `ours` one of Outrigger's to the first.
fn name_containers(pod: &mut Value, ours: Option<usize>) {
    let words = ["app", "web-server", "db", "a", "istio-validation", "x7"];
    let mut count = 0;
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in pod["spec"]
            .get_mut(field)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container["name"] = match (ours, words.get(count)) {
                (Some(index @ (0 | 1)), _) if count == 0 => OURS[index].into(),
                (_, Some(word)) => (*word).into(),
                (_, None) => format!("container-{count}").into(),
            };
            count += 1;
        }
    }
}

/// Adds the volume `data` if a container mounts it, and with `ours` one that has the name of Outrigger's.
fn provide_volume(pod: &mut Value, ours: Option<usize>) {
    let mounted = pod["spec"].to_string().contains("\"name\":\"data\"");
    let names = [mounted.then_some("data"), (ours == Some(2)).then_some(OURS[2])];
    for name in names.into_iter().flatten() {
        let volume = json!({"name": name, "emptyDir": {}});
        match &mut pod["spec"]["volumes"] {
            Value::Array(list) => list.push(volume),
            other => *other = json!([volume]),
        }
    }
}
