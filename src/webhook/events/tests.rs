//! What the API server is sent, with the clock paused.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::json;
use tokio::sync::watch;
use tower::ServiceExt;

use super::super::{Webhook, router};
use super::*;
use crate::control::world::{self, Namespace, World};

/// Method, path and body of every request, and the status with which the next ones are answered.
#[derive(Clone, Default)]
struct ApiServer {
    asked: Arc<Mutex<Vec<(Method, String, Value)>>>,
    fails: Arc<Mutex<Option<StatusCode>>>,
}

impl ApiServer {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let sent: Value = serde_json::from_slice(&body)?;
                let path = parts.uri.path().to_owned();
                server
                    .asked
                    .lock()
                    .unwrap()
                    .push((parts.method, path, sent.clone()));
                let fails = *server.fails.lock().unwrap();
                let answer = fails.map_or(
                    json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {}, "eventTime": null}),
                    |code| json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": code.as_u16()}),
                );
                let response = Response::builder().status(fails.unwrap_or(StatusCode::OK));
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    response.body(Body::from(answer.to_string().into_bytes()))?,
                )
            }
        });
        Client::new(service, "default")
    }

    fn asked(&self) -> Vec<(Method, String, Value)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn pod(owner: &str) -> Value {
    let owner =
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": "7", "controller": true});
    json!({"metadata": {"generateName": "web-", "ownerReferences": [owner]}})
}

struct Injector {
    events: Events,
    server: ApiServer,
    shutdown: CancellationToken,
}

fn start() -> Injector {
    let (events, writer) = Events::new("outrigger-1", &mut Registry::default());
    let (server, shutdown) = (ApiServer::default(), CancellationToken::new());
    tokio::spawn(writer.run(server.client(), shutdown.clone()));
    Injector {
        events,
        server,
        shutdown,
    }
}

/// The clock is paused: it goes on when everybody waits, so that after this all that was due in that time is done.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_often_is_one_event_with_a_count() {
    let Injector { events, server, .. } = start();
    for _ in 0..100 {
        events.not_injected("shop", &pod("web-1"), "the pod asks for a sidecar and gets none");
    }
    pass(1).await;
    let asked = server.asked();
    let (method, path, event) = &asked[0];
    assert_eq!((method, asked.len()), (&Method::POST, 1), "{asked:?}");
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/shop/events");
    assert_eq!(
        event["regarding"],
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "namespace": "shop", "name": "web-1", "uid": "7"})
    );
    for (field, expected) in [
        ("type", "Warning"),
        ("reason", "SidecarNotInjected"),
        ("note", "the pod asks for a sidecar and gets none"),
        ("reportingController", "outrigger.dev/sidecar-injector"),
        ("reportingInstance", "outrigger-1"),
        ("action", "Inject"),
    ] {
        assert_eq!(event[field], expected, "{field}");
    }
    let name = event["metadata"]["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("web-1."), "{name}");

    pass(30).await;
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let (method, path, change) = &asked[0];
    assert_eq!(method, Method::PATCH);
    assert!(path.ends_with(&format!("/events/{name}")), "{path}");
    assert_eq!(change["series"]["count"], 100);
    assert!(change["series"]["lastObservedTime"].is_string(), "{change}");

    pass(301).await;
    assert_eq!(server.asked(), [], "nothing happened, nothing is written");
    events.not_injected("shop", &pod("web-1"), "the pod asks for a sidecar and gets none");
    pass(1).await;
    let asked = server.asked();
    assert_eq!(
        (asked.len(), &asked[0].0),
        (1, &Method::POST),
        "a new Event: {asked:?}"
    );
    assert_eq!(
        (events.metrics.get("written"), events.metrics.get("failed")),
        (3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn owners_and_reasons_are_kept_apart() {
    let Injector { events, server, .. } = start();
    for (namespace, owner, note) in [("a", "x", "1"), ("b", "x", "1"), ("a", "y", "1"), ("a", "x", "2")] {
        events.not_injected(namespace, &pod(owner), note);
    }
    events.not_injected(
        "a",
        &json!({"metadata": {"generateName": "web-"}}),
        "nobody to tell",
    );
    pass(30).await;
    let asked = server.asked();
    assert!(
        asked.iter().all(|(method, ..)| method == Method::POST),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_counted_and_tried_when_it_happens_again() {
    let Injector {
        events,
        server,
        shutdown,
    } = start();
    *server.fails.lock().unwrap() = Some(StatusCode::FORBIDDEN);
    events.not_injected("shop", &pod("web-1"), "no");
    pass(60).await;
    assert_eq!((server.asked().len(), events.metrics.get("failed")), (1, 1));
    events.not_injected("shop", &pod("web-1"), "no");
    *server.fails.lock().unwrap() = None;
    pass(60).await;
    let asked = server.asked();
    assert_eq!((asked.len(), &asked[0].0), (1, &Method::POST), "{asked:?}");
    assert_eq!(events.metrics.get("written"), 1);
    shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn who_wanted_a_sidecar_is_told_unless_it_is_a_dry_run() {
    let Injector { events, server, .. } = start();
    let mut world = World::default();
    let namespace = Namespace {
        name: "shop".to_owned(),
        labels: [("istio-injection".to_owned(), "disabled".to_owned())].into(),
        uid_range: None,
    };
    world.apply(world::Event::Apply(world::Object::Namespace(namespace)));
    let world = watch::Sender::new(world);
    let router = router(Webhook {
        settings: Arc::default(),
        world: world.subscribe(),
        metrics: super::super::Metrics::default(),
        events,
    });
    let asks = json!({"sidecar.istio.io/inject": "true"});
    let app = json!([{"name": "app"}]);
    for (labels, containers, dry_run, expected) in [
        (
            &asks,
            &app,
            json!(null),
            Some("the pod asks for a sidecar and gets none"),
        ),
        (
            &asks,
            &app,
            json!(false),
            Some("the pod asks for a sidecar and gets none"),
        ),
        (&asks, &app, json!(true), None),
        (&json!({}), &app, json!(false), None),
        (
            &asks,
            &json!([]),
            json!(false),
            Some("spec.containers is an empty list"),
        ),
        (&asks, &json!([]), json!(true), None),
    ] {
        // Another owner each time, so that none continues the series of the one before.
        let mut pod = pod(&format!("{dry_run}-{}", expected.unwrap_or_default().len()));
        pod["metadata"]["labels"] = labels.clone();
        pod["spec"]["containers"] = containers.clone();
        let request = json!({"uid": "1", "operation": "CREATE", "namespace": "shop", "dryRun": dry_run,
            "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": pod});
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let request = axum::extract::Request::post("/inject").header("content-type", "application/json");
        let request = request
            .body(axum::body::Body::from(review.to_string()))
            .expect("a request");
        let answered = router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answered.status(), StatusCode::OK);
        pass(1).await;
        let notes: Vec<_> = server
            .asked()
            .iter()
            .map(|(.., event)| event["note"].to_string())
            .collect();
        assert_eq!(
            notes.len(),
            usize::from(expected.is_some()),
            "{review}: {notes:?}"
        );
        let told = notes.concat();
        assert!(told.contains(expected.unwrap_or_default()), "{review}: {told}");
    }
}

#[tokio::test]
async fn a_review_never_waits() {
    let (events, _nobody_reads) = Events::new("outrigger-1", &mut Registry::default());
    for _ in 0..QUEUE + 7 {
        events.not_injected("shop", &pod("web-1"), "no");
    }
    assert_eq!(events.metrics.get("dropped"), 7);
    Events::default().not_injected("shop", &pod("web-1"), "leads nowhere");
}

#[test]
fn a_storm_is_bounded() {
    let mut series = Series::new("outrigger-1");
    let now = Instant::now();
    let long = "é".repeat(1000);
    let mut full = 0;
    for number in 0..600 {
        let regarding =
            Regarding::of("shop", &pod(&format!("{number}-{}", "x".repeat(260)))).expect("an owner");
        match series.observe(regarding, &long, now) {
            Ok(write) => {
                let write = write.expect("the first of its series");
                let What::Create(event) = &write.what else {
                    panic!("{write:?}")
                };
                assert!(write.name.len() <= 253, "{}", write.name);
                assert!(event.note.as_ref().is_some_and(|note| note.len() == 1024));
                series.wrote(write, true);
            }
            Err(series::Full) => full += 1,
        }
    }
    assert_eq!(full, 600 - 512);
    assert!(series.due(now + Duration::from_secs(301)).is_empty());
    let regarding = Regarding::of("shop", &pod("later")).expect("an owner");
    assert!(series.observe(regarding, "room again", now).is_ok());
}
