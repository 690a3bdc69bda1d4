//! What the webhook answers for pods: patches, reasons, refusals that name a field.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use outrigger::control::world::{Event, Namespace, Object};
use serde_json::{Value, json};

use super::{Injector, creation, pod};

impl Injector {
    fn namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let labels = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let name = name.to_string();
        self.world.send_modify(|world| {
            let uid_range = None;
            world.apply(Event::Apply(Object::Namespace(Namespace {
                name,
                labels,
                uid_range,
            })));
        });
    }

    fn with_namespaces() -> Self {
        let injector = Self::new();
        injector.namespace("shop", &[("istio-injection", "enabled")]);
        injector.namespace("canary", &[("istio.io/rev", "outrigger")]);
        injector.namespace("off", &[("istio-injection", "disabled")]);
        injector.namespace("plain", &[]);
        injector.namespace("kube-system", &[("istio-injection", "enabled")]);
        injector
    }
}

fn labelled(key: &str, value: &str) -> Value {
    let mut pod = pod();
    pod["metadata"]["labels"] = json!({key: value});
    pod
}

fn patched(pod: &Value, response: &Value) -> Value {
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["patchType"], "JSONPatch", "{response}");
    let patch = STANDARD
        .decode(response["patch"].as_str().expect("a patch"))
        .expect("base64");
    let patch: Patch = serde_json::from_slice(&patch).expect("a JSON patch");
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, &patch).expect("the patch applies");
    pod
}

#[tokio::test]
async fn a_pod_gets_a_proxy_once() {
    let injector = Injector::with_namespaces();
    let mut review = creation(pod());
    // A dry run has no side effects to leave out.
    review["request"]["dryRun"] = true.into();
    let response = injector.review(&review).await;
    assert!(response.get("warnings").is_none(), "{response}");
    let injected = patched(&pod(), &response);
    let names: Vec<_> = injected["spec"]["initContainers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["outrigger-init", "outrigger-proxy"]);
    assert_eq!(injected["spec"]["containers"], pod()["spec"]["containers"]);

    let again = injector.review(&creation(injected)).await;
    assert_eq!(again, json!({"uid": "0000-1", "allowed": true}));
    let metrics = injector.metrics();
    for line in [
        "sidecar_injection_requests_total 2",
        "sidecar_injection_success_total{reason=\"namespace_label\"} 1",
        "sidecar_injection_skip_total{reason=\"already_injected\"} 1",
        "sidecar_injection_time_seconds_count 2",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "no {line} in {metrics}"
        );
    }
}

#[tokio::test]
async fn labels_decide_and_the_owner_hears_of_a_wish_not_granted() {
    let injector = Injector::with_namespaces();
    let inject = "sidecar.istio.io/inject";
    // namespace, pod, reason, whether there is a warning
    let table = [
        (
            "canary",
            pod(),
            "success_total{reason=\"namespace_revision\"}",
            false,
        ),
        (
            "plain",
            labelled(inject, "true"),
            "success_total{reason=\"pod_label\"}",
            false,
        ),
        ("plain", pod(), "skip_total{reason=\"not_selected\"}", false),
        ("off", pod(), "skip_total{reason=\"namespace_disabled\"}", false),
        (
            "off",
            labelled(inject, "true"),
            "skip_total{reason=\"namespace_disabled\"}",
            true,
        ),
        (
            "shop",
            labelled(inject, "false"),
            "skip_total{reason=\"pod_disabled\"}",
            false,
        ),
        (
            "shop",
            labelled(inject, "maybe"),
            "skip_total{reason=\"invalid_value\"}",
            true,
        ),
        (
            "kube-system",
            pod(),
            "skip_total{reason=\"ignored_namespace\"}",
            false,
        ),
    ];
    for (namespace, pod, reason, warned) in table {
        let before = injector.metrics();
        let mut review = creation(pod.clone());
        review["request"]["namespace"] = namespace.into();
        let response = injector.review(&review).await;
        assert_eq!(response["allowed"], true, "{namespace} {pod}");
        assert_eq!(
            response.get("patch").is_some(),
            reason.starts_with("success"),
            "{namespace} {pod}"
        );
        assert_eq!(
            response.get("warnings").is_some(),
            warned,
            "{namespace} {pod}: {response}"
        );
        let grown = injector
            .metrics()
            .lines()
            .any(|line| line.contains(reason) && !before.contains(line));
        assert!(grown, "{namespace} {pod}: {reason} did not grow");
    }
}

#[tokio::test]
async fn a_namespace_may_be_an_instant_younger_than_its_pod() {
    let injector = Injector::new();
    let review = creation(pod());
    let (response, ()) = tokio::join!(injector.review(&review), async {
        injector.namespace("other", &[]);
        injector.namespace("shop", &[("istio-injection", "enabled")]);
    });
    patched(&pod(), &response);
}

#[tokio::test]
async fn a_pod_that_cannot_be_is_refused_by_field() {
    let injector = Injector::with_namespaces();
    let container = json!({"name": "app"});
    let table = [
        (json!(null), "the pod is null; it must be an object"),
        (
            json!("pod"),
            "the pod is the string \"pod\"; it must be an object",
        ),
        (json!({}), "spec is missing"),
        (
            json!({"spec": {}}),
            "spec.containers is missing; it must be a list of at least one container",
        ),
        (
            json!({"spec": {"containers": []}}),
            "spec.containers is an empty list",
        ),
        (
            json!({"spec": {"containers": {"app": {}}}}),
            "spec.containers is an object; it must be a list",
        ),
        (
            json!({"spec": {"containers": [null]}}),
            "spec.containers[0] is null; it must be an object",
        ),
        (
            json!({"spec": {"containers": [{"name": 7}]}}),
            "spec.containers[0].name is the number 7",
        ),
        (
            json!({"spec": {"containers": [container], "volumes": 1}}),
            "spec.volumes is the number 1",
        ),
        (
            json!({"metadata": {"labels": {"version": 1.5}}, "spec": {"containers": [container]}}),
            "metadata.labels[\"version\"] is the number 1.5; it must be a string; quote it",
        ),
        (
            json!({"metadata": {"labels": "a=b"}, "spec": {"containers": [container]}}),
            "metadata.labels is the string \"a=b\"; it must be an object",
        ),
        (
            json!({"metadata": {"annotations": [1]}, "spec": {"containers": [container]}}),
            "metadata.annotations is a list; it must be an object",
        ),
        (
            json!({"metadata": 5, "spec": {"containers": [container]}}),
            "metadata is the number 5",
        ),
        (
            json!({"spec": {"containers": [{"name": "outrigger-proxy"}]}}),
            "it must hold the application's containers too",
        ),
    ];
    for (pod, message) in table {
        let response = injector.review(&creation(pod.clone())).await;
        assert_eq!(response["allowed"], false, "{pod}");
        assert_eq!(response["status"]["code"], 422, "{pod}");
        let found = response["status"]["message"].as_str().expect("a message");
        assert!(
            found.starts_with("pod shop/") && found.contains(message),
            "{pod}: {found}"
        );
    }
    let mut review = creation(pod());
    review["request"]["namespace"] = json!(["shop"]);
    let response = injector.review(&review).await;
    assert_eq!(response["status"]["code"], 400);
    assert!(
        response["status"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("request.namespace"))
    );
}

#[tokio::test]
async fn a_pod_with_1500_variables_is_no_trouble() {
    let injector = Injector::with_namespaces();
    let variable = |index: usize| json!({"name": format!("VARIABLE_{index}"), "value": "x".repeat(500)});
    let mut large = pod();
    large["spec"]["containers"][0]["env"] = (0..1500).map(variable).collect();
    let injected = patched(&large, &injector.review(&creation(large.clone())).await);
    assert_eq!(injected["spec"]["containers"], large["spec"]["containers"]);
}
