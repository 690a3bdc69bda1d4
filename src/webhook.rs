//! The admission webhooks: AdmissionReview in, AdmissionReview out, over the router that `serve` puts on HTTPS.
//! Before it: `serve`. After it: `webhook::review` (what was asked), then `inject` for pods and `validate` for rules.

mod deadline;
mod events;
mod metrics;
mod review;
mod validate;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::watch;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

pub use events::{Events, Writer};
pub use metrics::Metrics;

use crate::control::world::{Namespace, World};
use crate::inject;
use crate::settings::Settings;
use review::Review;

/// The largest request that is read, in bytes. An API server's own limit for an object is below this.
const MAX_BODY: usize = 6 * 1024 * 1024;
/// How long a namespace that is not known may take to arrive: it can have been created an instant before its first pod.
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(2);

/// What the webhook answers from. Nothing is asked of the API server while a pod waits.
#[derive(Clone)]
pub struct Webhook {
    /// Which pods are injected, with what.
    pub settings: Arc<Settings>,
    /// Where the labels of namespaces come from.
    pub world: watch::Receiver<World>,
    /// What happened, counted.
    pub metrics: Metrics,
    /// Who is told that a pod got no sidecar.
    pub events: Events,
}

/// `POST /inject` takes AdmissionReviews (admission.k8s.io/v1) of pods, `POST /validate` those of rules, `GET /healthz` says that
/// the process is alive.
///
/// A request that is no AdmissionReview is answered with 4xx and a sentence; one that is always gets an AdmissionReview
/// with its uid.
pub fn router(webhook: Webhook) -> Router {
    let routes = Router::new()
        .route("/inject", post(answer))
        .route("/validate", post(validate::answer))
        .route("/healthz", get(async || "ok\n"))
        .with_state(webhook.clone());
    answer_panics(routes, webhook.metrics)
}

/// A panic is a bug, but its request still gets an answer and the connection stays.
fn answer_panics(router: Router, metrics: Metrics) -> Router {
    router.layer(CatchPanicLayer::custom(move |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        metrics.failed("panic");
        tracing::error!(panic = text, "a request to the webhook failed with a panic");
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the injector failed on this request; its log says where\n",
        )
            .into_response()
    }))
}

/// A request that gets no AdmissionReview, because it holds none that could be answered.
struct Unanswerable {
    status: StatusCode,
    reason: &'static str,
    message: String,
}

async fn answer(State(webhook): State<Webhook>, request: Request) -> Response {
    let start = Instant::now();
    webhook.metrics.requested();
    let response = match read(request, start).await {
        Ok((review, deadline)) => json(decide(&webhook, &review, deadline).await),
        Err(error) => {
            webhook.metrics.failed(error.reason);
            error.into_response()
        }
    };
    webhook.metrics.took(start.elapsed());
    response
}

fn json(answer: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

impl IntoResponse for Unanswerable {
    fn into_response(self) -> Response {
        tracing::warn!(reason = self.reason, status = %self.status, "{}", self.message);
        (self.status, self.message + "\n").into_response()
    }
}

async fn read(request: Request, start: Instant) -> Result<(Review, Instant), Unanswerable> {
    let fail = |status, reason, message| Unanswerable {
        status,
        reason,
        message,
    };
    let deadline = start + deadline::patience(request.uri().query().unwrap_or_default());
    let content_type = content_type(request.headers());
    if content_type != "application/json" {
        let message = format!("the content type is {content_type:?}; it must be application/json");
        return Err(fail(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message));
    }
    let body = match tokio::time::timeout_at(deadline, collect(request.into_body())).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body is larger than {MAX_BODY} bytes");
            return Err(fail(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
        }
        Ok(Err(error)) => {
            let message = format!("the body ended early: {error}");
            return Err(fail(StatusCode::BAD_REQUEST, "body_incomplete", message));
        }
        Err(_) => {
            let message = "the body did not arrive in time".into();
            return Err(fail(StatusCode::REQUEST_TIMEOUT, "timeout", message));
        }
    };
    let review = Review::parse(&body)
        .map_err(|error| fail(StatusCode::BAD_REQUEST, "no_review", error.to_string()))?;
    Ok((review, deadline))
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let media = value.unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

async fn collect(body: Body) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        // Said before the body is read, not after 6 MiB of it.
        return Limited::new(body, 0).collect().await.map(|body| body.to_bytes());
    }
    Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map(|body| body.to_bytes())
}

/// The body that answers a review, counted and logged.
async fn decide(webhook: &Webhook, review: &Review, deadline: Instant) -> Vec<u8> {
    if !review.creates_pod() {
        webhook.metrics.skipped("not_a_new_pod");
        return review.allow(None, &[]);
    }
    let (namespace, name) = (review.namespace(), review.name());
    let refuse = |code: StatusCode, reason: &'static str, message: String| {
        webhook.metrics.failed(reason);
        tracing::warn!(namespace, name, decision = "refuse", reason, "{message}");
        review.refuse(code, &format!("pod {namespace}/{name}: {message}"))
    };
    if namespace.is_empty() {
        let message = "request.namespace is missing; it must be the pod's namespace".into();
        return refuse(StatusCode::BAD_REQUEST, "no_namespace", message);
    }
    let Some(home) = home(webhook, namespace, deadline).await else {
        let message = format!("the injector does not know the namespace {namespace} yet; try again");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "namespace_unknown", message);
    };
    let injection = match inject::inject(review.object(), &(&home).into(), &webhook.settings) {
        Ok(injection) => injection,
        Err(refusal) => {
            tell(webhook, review, &refusal.to_string());
            let code = StatusCode::UNPROCESSABLE_ENTITY;
            return refuse(code, refusal.code(), refusal.to_string());
        }
    };
    let reason = injection.reason.code();
    let decision = match injection.reason.injects() {
        true => {
            webhook.metrics.injected(reason);
            "inject"
        }
        false => {
            webhook.metrics.skipped(reason);
            injection
                .warnings
                .iter()
                .for_each(|warning| tell(webhook, review, warning));
            "skip"
        }
    };
    tracing::info!(
        namespace,
        name,
        decision,
        reason,
        "{}",
        injection.reason.because()
    );
    let patch = (!injection.patch.is_empty()).then_some(&injection.patch);
    review.allow(patch, &injection.warnings)
}

/// Tells the pod's owner, who may not be the one that reads the answer. A dry run leaves no trace.
fn tell(webhook: &Webhook, review: &Review, why: &str) {
    if !review.is_dry_run() {
        webhook
            .events
            .not_injected(review.namespace(), review.object(), why);
    }
}

/// A namespace, which is waited for if it is not known yet.
async fn home(webhook: &Webhook, namespace: &str, deadline: Instant) -> Option<Namespace> {
    let mut world = webhook.world.clone();
    let known = world.wait_for(|world| world.namespace(namespace).is_some());
    let patience = deadline.min(Instant::now() + NAMESPACE_PATIENCE);
    let world = tokio::time::timeout_at(patience, known).await.ok()?.ok()?;
    world.namespace(namespace).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_is_answered_and_counted() {
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        let metrics = Metrics::default();
        let router = answer_panics(Router::new().route("/inject", post(panics)), metrics.clone());
        let request = Request::post("/inject").body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(metrics.failures("panic"), 1);
    }
}
