//! The webhook as the API server finds it, without its listener: one thread, one namespace, nothing logged.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use http::Request;
use http_body_util::BodyExt;
use mimalloc::MiMalloc;
use outrigger::control::world::{Event, Namespace, Object, World};
use outrigger::settings::Settings;
use outrigger::webhook::{Events, Metrics, Webhook, router};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tower::ServiceExt;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The router and what feeds it.
pub(crate) struct Injector {
    pub(crate) runtime: Runtime,
    pub(crate) router: Router,
    /// Kept, because a world that nobody feeds any more is refused.
    _world: watch::Sender<World>,
}

impl Injector {
    pub(crate) fn new() -> Self {
        let mut world = World::default();
        world.apply(Event::Apply(Object::Namespace(Namespace {
            name: "shop".into(),
            labels: [("istio-injection".into(), "enabled".into())].into(),
            uid_range: None,
        })));
        let world = watch::Sender::new(world);
        let webhook = Webhook {
            settings: Arc::new(Settings::default()),
            world: world.subscribe(),
            events: Events::default(),
            metrics: Metrics::default(),
        };
        Self {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            router: router(webhook),
            _world: world,
        }
    }

    /// The body of the answer.
    #[allow(dead_code, reason = "one of the two benchmarks sends over TLS instead")]
    pub(crate) fn answer(&self, review: Bytes) -> String {
        let request = Request::post("/inject?timeout=10s").header("content-type", "application/json");
        let request = request.body(Body::from(review)).expect("a request");
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("an answer");
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            String::from_utf8(body.into()).expect("text")
        })
    }
}
