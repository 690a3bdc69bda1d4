//! Rules at the webhook: refused with every field that is wrong, taken with a warning, or taken.

use http::StatusCode;
use serde_json::{Value, json};

use super::Injector;

fn written(kind: &str, object: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0000-2",
            "operation": "UPDATE",
            "kind": {"group": "networking.istio.io", "version": "v1", "kind": kind},
            "namespace": "shop",
            "object": object,
            "oldObject": object,
        },
    })
}

fn virtual_service(http: Value) -> Value {
    json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"hosts": ["web"], "http": http}})
}

/// Sends an object; its answer must have each of the words in its message or in its warnings.
async fn check(injector: &Injector, kind: &str, object: Value, allowed: bool, words: &[&str]) {
    let answer = injector.review_at("/validate", &written(kind, object)).await;
    assert_eq!(answer["allowed"], allowed, "{answer}");
    let said = match allowed {
        true => answer["warnings"].to_string(),
        false => answer["status"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
    assert_eq!(words.is_empty(), said == "null", "{said}");
}

#[tokio::test]
async fn rules_that_cannot_mean_anything_are_refused() {
    let injector = Injector::new();
    let to = |host: &str| json!([{"destination": {"host": host}}]);
    let bad =
        json!([{"route": to("web"), "timeout": "soon"}, {"route": to("we b"), "retries": {"attempts": -1}}]);
    let words = [
        "VirtualService shop/web: ",
        "spec.http[0].timeout",
        "spec.http[1].route[0].destination.host",
    ];
    check(
        &injector,
        "VirtualService",
        virtual_service(json!([{"route": to("web"), "timeout": "soon"}, {"route": to("we b")}])),
        false,
        &words,
    )
    .await;
    check(
        &injector,
        "VirtualService",
        virtual_service(bad),
        false,
        &["spec.http[1].retries.attempts"],
    )
    .await;
    let shapeless = json!({"metadata": {"name": "web"}, "spec": {"hosts": "web"}});
    check(
        &injector,
        "VirtualService",
        shapeless.clone(),
        false,
        &["spec.hosts"],
    )
    .await;
    check(
        &injector,
        "DestinationRule",
        json!({"metadata": {"name": "web"}, "spec": {}}),
        false,
        &["DestinationRule shop/web: ", "host"],
    )
    .await;
    let workload = json!({"metadata": {"name": "vm"}, "spec": {"ports": {"http": 70000}}});
    let words = [
        "spec.address: is missing",
        "spec.ports.http: is not between 1 and 65535",
    ];
    check(&injector, "WorkloadEntry", workload, false, &words).await;
    let mut going = shapeless;
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    check(&injector, "VirtualService", going, true, &[]).await;
    let counted = injector.metrics();
    let line = "galley_validation_failed_total{resource=\"VirtualService\"} 3";
    assert!(counted.contains(line), "{counted}");
}

#[tokio::test]
async fn what_is_not_known_is_warned_of() {
    let injector = Injector::new();
    let vm = json!({"metadata": {"name": "vm"}, "spec": {"address": "192.0.2.1", "network": "dmz", "serviceAccount": "vm"}});
    let words = [
        "spec.network: has no effect",
        "spec.serviceAccount: has no effect",
    ];
    check(&injector, "WorkloadEntry", vm, true, &words).await;
    let route = json!([{"destination": {"host": "web"}}]);
    check(
        &injector,
        "VirtualService",
        virtual_service(json!([{"route": route, "colour": "red"}])),
        true,
        &["spec.http[0].colour"],
    )
    .await;
    check(
        &injector,
        "VirtualService",
        virtual_service(json!([{"route": route}])),
        true,
        &[],
    )
    .await;
    check(&injector, "EnvoyFilter", json!({"metadata": {}}), true, &[]).await;
    let mut deletion = written("VirtualService", Value::Null);
    deletion["request"]["operation"] = "DELETE".into();
    let answer = injector.review_at("/validate", &deletion).await;
    assert_eq!(answer["allowed"], true);
    let (status, _) = injector.post_to("/validate", "no JSON").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
