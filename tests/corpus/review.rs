//! What holds for any bytes that reach the webhook: there is an answer, it is an AdmissionReview or says why not, and its patch
//! applies, is made once and can be undone. Used by the fuzz target of the same name and by `corpus`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use json_patch::Patch;
use outrigger::control::world::{Event, Namespace, Object, World};
use outrigger::settings::Settings;
use outrigger::webhook::{Events, Metrics, Webhook, router};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tower::ServiceExt;

/// The webhook without its listener. Its clock is paused: a namespace that nobody knows is waited for in no time.
struct Injector {
    runtime: Runtime,
    router: Router,
    /// Kept, because a world that nobody feeds any more is refused.
    _world: watch::Sender<World>,
}

thread_local! {
    static INJECTOR: Injector = Injector::new();
}

/// Sends the bytes as a review's body, and what came out of it once more.
pub(crate) fn check(body: &[u8]) {
    INJECTOR.with(|injector| injector.check(body));
}

impl Injector {
    fn new() -> Self {
        let world = watch::Sender::new(World::default());
        for (name, labels) in [("shop", vec![("istio-injection", "enabled")]), ("plain", vec![])] {
            let labels = labels
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect();
            let namespace = Namespace {
                name: name.into(),
                labels,
                uid_range: None,
            };
            world.send_modify(|world| {
                world.apply(Event::Apply(Object::Namespace(namespace)));
            });
        }
        let webhook = Webhook {
            settings: Arc::new(Settings::default()),
            world: world.subscribe(),
            events: Events::default(),
            metrics: Metrics::default(),
        };
        let mut runtime = Builder::new_current_thread();
        Self {
            runtime: runtime
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime"),
            router: router(webhook),
            _world: world,
        }
    }

    fn check(&self, body: &[u8]) {
        let (status, answer) = self.send(body.to_vec());
        if status != StatusCode::OK {
            assert!(
                status.is_client_error() && !answer.is_empty(),
                "{status}: {answer}"
            );
            return;
        }
        let review: Value = serde_json::from_slice(body).expect("only JSON is answered");
        let response = self.response(&review, &answer);
        let Some(patch) = response.get("patch") else {
            return;
        };
        assert_eq!(
            (&response["allowed"], &response["patchType"]),
            (&true.into(), &"JSONPatch".into())
        );
        let patch = STANDARD.decode(patch.as_str().expect("text")).expect("base64");
        let patch: Patch = serde_json::from_slice(&patch).expect("a JSON patch");
        let mut again = review.clone();
        json_patch::patch(&mut again["request"]["object"], &patch).expect("the patch applies");
        let (_, answer) = self.send(again.to_string().into_bytes());
        assert_eq!(
            self.response(&again, &answer).get("patch"),
            None,
            "injected twice"
        );
    }

    fn send(&self, body: Vec<u8>) -> (StatusCode, String) {
        let request = Request::post("/inject").header("content-type", "application/json");
        let request = request.body(Body::from(body)).expect("a request");
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("an answer");
            let status = response.status();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            (status, String::from_utf8(body.into()).expect("text"))
        })
    }

    /// The response in an answer, which has the review's uid and says why if it allows nothing.
    fn response(&self, review: &Value, answer: &str) -> Value {
        let mut answer: Value = serde_json::from_str(answer).expect("JSON");
        let response = answer["response"].take();
        assert_eq!(response["uid"], review["request"]["uid"]);
        if response["allowed"] != true {
            let message = response["status"]["message"].as_str().expect("a message");
            assert!(!message.is_empty());
        }
        response
    }
}
