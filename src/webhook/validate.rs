//! Istio's objects when they are written: what cannot mean anything is refused with each field and what would be right, and
//! what means something else than it seems to is a warning, which kubectl prints. One object alone: what it names may come
//! later, and `control::status` tells of that. Before it: `webhook`. In the middle: `control::world`'s own reading.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use super::review::Review;
use super::{Webhook, json, read};
use crate::api::{
    DestinationRuleSpec, Findings, InvalidField, IstioKind, ServiceEntrySpec, SidecarSpec,
    VirtualServiceSpec, WorkloadEntrySpec,
};
use crate::control::world::{Rule, RuleSpec};

pub(super) async fn answer(State(webhook): State<Webhook>, request: Request) -> Response {
    match read(request, Instant::now()).await {
        Ok((review, _)) => json(judge(&webhook, &review)),
        Err(error) => error.into_response(),
    }
}

fn judge(webhook: &Webhook, review: &Review) -> Vec<u8> {
    let object = review.object();
    // One that is going has to be let go, whatever is in it.
    let going = !object["metadata"]["deletionTimestamp"].is_null();
    let Some((kind, read)) = review
        .kind_of(IstioKind::GROUP)
        .filter(|_| object.is_object() && !going)
        .and_then(|kind| Some((kind, findings(IstioKind::named(kind)?, object))))
    else {
        return review.allow(None, &[]);
    };
    let found = read.unwrap_or_else(|InvalidField { field, problem }| Findings {
        errors: [(field, problem)].into(),
        ..Findings::default()
    });
    let passed = found.errors.is_empty();
    webhook.metrics.validated(kind, passed);
    let line = |(field, why): (&String, &String)| format!("{field}: {why}");
    if passed {
        let warnings = found.unknown.iter().chain(&found.warnings).map(line);
        return review.allow(None, &warnings.collect::<Vec<_>>());
    }
    let errors = found.errors.iter().map(line).collect::<Vec<_>>().join("; ");
    let (namespace, name) = (review.namespace(), review.name());
    tracing::info!(namespace, name, kind, "refused: {errors}");
    let message = format!("{kind} {namespace}/{name}: {errors}");
    review.refuse(StatusCode::UNPROCESSABLE_ENTITY, &message)
}

/// What there is to say about an object of a kind.
fn findings(kind: IstioKind, object: &Value) -> Result<Findings, InvalidField> {
    fn of<S: RuleSpec>(object: &Value) -> Result<Findings, InvalidField> {
        Ok(Rule::<S>::read(object)?.findings)
    }
    match kind {
        IstioKind::VirtualService => of::<VirtualServiceSpec>(object),
        IstioKind::DestinationRule => of::<DestinationRuleSpec>(object),
        IstioKind::ServiceEntry => of::<ServiceEntrySpec>(object),
        IstioKind::WorkloadEntry => of::<WorkloadEntrySpec>(object),
        IstioKind::Sidecar => of::<SidecarSpec>(object),
    }
}
