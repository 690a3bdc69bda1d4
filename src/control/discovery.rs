//! Tells proxies what they asked for, and again whenever it is another: delta xDS, one stream per proxy.
//! Before: `feed` says what changed, `compile` makes the answers. After: the proxy's `discovery` takes them in.

mod answers;
mod authenticate;
mod interest;
mod metrics;
mod stream;
mod token_review;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use outrigger_proxy::protocol::discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use outrigger_proxy::protocol::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

pub use authenticate::Authenticate;

use self::answers::Answers;
use self::authenticate::{Identity, Refused};
use self::metrics::Metrics;
use self::stream::Stream;
use super::feed::Reader;
use super::world::{Pod, World};

/// How long a pod may take from the API server to here. Its proxy tries again after.
const POD_WAIT: Duration = Duration::from_secs(3);
/// Responses that may wait for a slow proxy. More would only be older than what is compiled when there is room again.
const WAITING_RESPONSES: usize = 2;
/// Subscriptions of many thousand names fit.
const LARGEST_REQUEST: usize = 4 << 20;

/// The discovery service, to be served over TLS. Streams end with UNAVAILABLE on `shutdown`, so that proxies go to
/// another replica.
pub fn router(
    reader: Reader,
    authenticate: Authenticate,
    registry: &mut Registry,
    shutdown: CancellationToken,
) -> Router {
    let metrics = Metrics::new(registry);
    let discovery = Discovery {
        reader,
        answers: Arc::new(Answers::new(metrics.clone())),
        authenticate: Arc::new(authenticate),
        metrics,
        shutdown,
    };
    let service = AggregatedDiscoveryServiceServer::new(discovery).max_decoding_message_size(LARGEST_REQUEST);
    Routes::new(service).into_axum_router()
}

struct Discovery {
    reader: Reader,
    answers: Arc<Answers>,
    authenticate: Arc<Authenticate>,
    metrics: Metrics,
    shutdown: CancellationToken,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (pod, node) = tokio::select! {
            pod = self.pod(&request) => pod.inspect_err(|status| {
                tracing::warn!(code = ?status.code(), "discovery refused: {}", status.message());
            })?,
            () = self.shutdown.cancelled() => return Err(stream::ending()),
        };
        let (responses, receiver) = mpsc::channel(WAITING_RESPONSES);
        let (reader, answers) = (self.reader.clone(), self.answers.clone());
        let stream = Stream::new(pod, node, reader, answers, self.metrics.clone());
        tokio::spawn(stream.run(request.into_inner(), responses, self.shutdown.clone()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Discovery {
    /// The pod that a stream speaks for, and its node if that is known. What it says about itself in its messages is not looked at.
    async fn pod(
        &self,
        request: &Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<(Pod, Option<String>), Status> {
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = token
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                Status::unauthenticated("the metadata `authorization: Bearer TOKEN` is missing")
            })?;
        if !self.reader.world.borrow().synced() {
            return Err(Status::unavailable(
                "the control plane does not know the whole cluster yet",
            ));
        }
        let identity = self
            .authenticate
            .identity(token)
            .await
            .map_err(|refused| match refused {
                Refused::Token(why) => Status::unauthenticated(why),
                Refused::Unknown(why) => Status::unavailable(why),
            })?;
        let Identity { pod: key, uid, node } = &identity;
        let is_it = |pod: &Pod| uid.as_ref().is_none_or(|uid| *uid == pod.uid);
        let mut world = self.reader.world.clone();
        let known = world.wait_for(|world: &World| world.pod(key).is_some_and(is_it));
        // The token was bound to this very pod a moment ago, so that an older one of its name is about to be replaced.
        match timeout(POD_WAIT, known).await {
            Ok(Ok(world)) => {
                let pod = world.pod(key).cloned().ok_or_else(stream::ending)?;
                Ok((pod, node.clone()))
            }
            Ok(Err(_)) => Err(stream::ending()),
            Err(_) => Err(Status::unavailable(format!(
                "Pod {key} of this token is not known to the control plane yet"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
