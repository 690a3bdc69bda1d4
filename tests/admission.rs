//! The webhook over its router: every request gets an answer, and what is wrong is named.

mod answers;
mod rules;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures::{StreamExt, stream};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use outrigger::control::world::World;
use outrigger::settings::Settings;
use outrigger::webhook::{Events, Metrics, Webhook, router};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

struct Injector {
    router: Router,
    metrics: Registry,
    /// Kept, because a world that nobody feeds any more is refused.
    world: watch::Sender<World>,
}

impl Injector {
    fn new() -> Self {
        let world = watch::Sender::new(World::default());
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        let webhook = Webhook {
            settings: Arc::new(Settings::default()),
            world: world.subscribe(),
            metrics,
            events: Events::default(),
        };
        Self {
            router: router(webhook),
            metrics: registry,
            world,
        }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.into()).expect("text"))
    }

    async fn post(&self, body: impl Into<Body>) -> (StatusCode, String) {
        self.post_to("/inject", body).await
    }

    async fn post_to(&self, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let request = Request::post(format!("{path}?timeout=5s")).header("content-type", "application/json");
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// Sends a review of a pod, which must be answered by one with its uid, and returns the response in it.
    async fn review(&self, review: &Value) -> Value {
        self.review_at("/inject", review).await
    }

    async fn review_at(&self, path: &str, review: &Value) -> Value {
        let (status, body) = self.post_to(path, review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].clone()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).expect("metrics");
        text
    }
}

fn pod() -> Value {
    json!({"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "app"}]}})
}

fn creation(pod: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0000-1",
            "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "shop",
            "object": pod,
        },
    })
}

#[tokio::test]
async fn what_is_no_review_is_refused_with_a_sentence() {
    let injector = Injector::new();
    let changed = |pointer: &str, value: Value| {
        let mut review = creation(pod());
        *review.pointer_mut(pointer).expect("a field") = value;
        review.to_string()
    };
    let table = [
        ("".to_string(), "EOF while parsing a value at line 1 column 0"),
        (
            "{\"kind\": ".into(),
            "EOF while parsing a value at line 1 column 9",
        ),
        ("{\"kind\":\n  oops}".into(), "line 2 column 3"),
        ("[".repeat(100_000), "recursion limit exceeded"),
        ("\u{0}".into(), "line 1 column 1"),
        (
            "null".into(),
            "the body is missing; it must be an AdmissionReview",
        ),
        ("[]".into(), "the body is a list; it must be an AdmissionReview"),
        ("{}".into(), "kind is missing; it must be \"AdmissionReview\""),
        (
            changed("/kind", json!("Pod")),
            "kind is \"Pod\"; it must be \"AdmissionReview\"",
        ),
        (
            changed("/apiVersion", json!("admission.k8s.io/v1beta1")),
            "apiVersion is \"admission.k8s.io/v1beta1\"; it must be \"admission.k8s.io/v1\"",
        ),
        (
            changed("/request", json!(null)),
            "request is missing; it must be an object",
        ),
        (
            changed("/request", json!([])),
            "request is a list; it must be an object",
        ),
        (
            changed("/request/uid", json!(null)),
            "request.uid is missing; it must be the string",
        ),
        (
            changed("/request/uid", json!(7)),
            "request.uid is 7; it must be the string",
        ),
        (
            changed("/request/uid", json!("")),
            "request.uid is \"\"; it must be the string",
        ),
    ];
    for (body, message) in table {
        let (status, answer) = injector.post(body.clone()).await;
        let body: String = body.chars().take(200).collect();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.contains(message), "{body}: {answer}");
    }
}

#[tokio::test]
async fn http_is_checked_before_the_body() {
    let injector = Injector::new();
    let send = async |method: &str, path: &str, content_type: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        injector
            .send(request.body(Body::from("{}")).expect("a request"))
            .await
    };
    let table = [
        ("POST", "/inject", None, 415),
        ("POST", "/inject", Some("text/plain"), 415),
        ("POST", "/inject", Some("application/yaml"), 415),
        ("POST", "/inject", Some("application/jsonx"), 415),
        ("POST", "/inject", Some("Application/JSON; charset=utf-8"), 400),
        ("GET", "/inject", Some("application/json"), 405),
        ("POST", "/elsewhere", Some("application/json"), 404),
        ("GET", "/healthz", None, 200),
    ];
    for (method, path, content_type, expected) in table {
        let (status, body) = send(method, path, content_type).await;
        assert_eq!(
            status.as_u16(),
            expected,
            "{method} {path} {content_type:?}: {body}"
        );
        if expected == 415 {
            assert!(body.contains("it must be application/json"), "{body}");
        }
    }
}

#[tokio::test]
async fn a_body_is_bounded_whether_its_length_is_told_or_not() {
    let injector = Injector::new();
    let chunk = || Ok::<_, std::io::Error>(vec![b' '; 1 << 20]);
    let told = Body::from(vec![b' '; (6 << 20) + 1]);
    let streamed = Body::from_stream(stream::repeat_with(chunk).take(7));
    for body in [told, streamed] {
        let (status, answer) = injector.post(body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
        assert!(answer.contains("6291456 bytes"), "{answer}");
    }
    let (status, answer) = injector.post(vec![b' '; 6 << 20]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let injector = Injector::new();
    let start = tokio::time::Instant::now();
    let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let (status, answer) = injector.post(never).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT, "{answer}");
    assert_eq!(start.elapsed().as_millis(), 4500);
    let broken = Err::<Vec<u8>, _>(std::io::Error::other("reset"));
    let (status, answer) = injector.post(Body::from_stream(stream::iter([broken]))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.contains("ended early"), "{answer}");
}

#[tokio::test]
async fn what_is_not_a_new_pod_is_allowed_as_it_is() {
    let injector = Injector::new();
    let table = [
        ("/request/operation", json!("UPDATE")),
        ("/request/operation", json!("DELETE")),
        ("/request/operation", json!(null)),
        ("/request/kind/kind", json!("Service")),
        ("/request/kind/group", json!("example.org")),
        ("/request/kind/version", json!("v2")),
        ("/request/kind", json!("Pod")),
        ("/request/subResource", json!("ephemeralcontainers")),
    ];
    for (pointer, value) in table {
        let mut review = creation(json!({"spec": "not even a pod"}));
        review["request"]["subResource"] = "".into();
        *review.pointer_mut(pointer).expect("a field") = value.clone();
        let expected = json!({"uid": "0000-1", "allowed": true});
        assert_eq!(injector.review(&review).await, expected, "{pointer} {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_stays_unknown_is_a_reason_to_try_again() {
    let injector = Injector::new();
    let start = tokio::time::Instant::now();
    let response = injector.review(&creation(pod())).await;
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 503);
    let message = "pod shop/web-: the injector does not know the namespace shop yet; try again";
    assert_eq!(response["status"]["message"], message);
    assert!(
        injector
            .metrics()
            .contains("sidecar_injection_failure_total{reason=\"namespace_unknown\"} 1")
    );
    drop(injector.world);
}
