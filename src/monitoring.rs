//! The control plane's port for Prometheus and the kubelet: `/metrics`, `/ready` and `/live`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::control::world::World;

/// What has to be so before anybody is sent here.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The caches hold the first list of every kind.
    pub world: watch::Receiver<World>,
    /// A certificate is served that the API server trusts.
    pub trusted: watch::Receiver<bool>,
    /// The process has been told to end.
    pub ending: CancellationToken,
}

impl Readiness {
    fn check(&self) -> Result<(), &'static str> {
        if self.ending.is_cancelled() {
            return Err("ending");
        }
        if !self.world.borrow().synced() {
            return Err("the caches are not full yet");
        }
        if !*self.trusted.borrow() {
            return Err("no certificate is served yet that the API server trusts");
        }
        Ok(())
    }
}

/// The pages.
pub fn router(registry: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/live", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .with_state(readiness)
        .route("/metrics", get(metrics))
        .with_state(Arc::new(registry))
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.check() {
        Ok(()) => (StatusCode::OK, "ready\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Result<String, (StatusCode, String)> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .map(|()| text)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::world::{Event, Kind};

    #[test]
    fn ready_only_when_full_and_trusted_and_not_ending() {
        for (synced, trusted, ends, expected) in [
            (true, true, false, true),
            (false, true, false, false),
            (true, false, false, false),
            (true, true, true, false),
        ] {
            let ending = CancellationToken::new();
            if ends {
                ending.cancel();
            }
            let mut world = World::default();
            for kind in Kind::ALL.into_iter().filter(|_| synced) {
                world.apply(Event::Replace(kind, Vec::new()));
            }
            let world = watch::Sender::new(world).subscribe();
            let readiness = Readiness {
                world,
                trusted: watch::Sender::new(trusted).subscribe(),
                ending,
            };
            assert_eq!(readiness.check().is_ok(), expected, "{synced} {trusted} {ends}");
        }
    }
}
