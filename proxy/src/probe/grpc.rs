//! `grpc`, as the kubelet asks it: `grpc.health.v1.Health/Check` in the clear. Before it on the path: `prober`; after
//! it: the application.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use http::HeaderValue;
use tonic::Code;
use tonic::transport::Endpoint;

use super::Grpc;
use crate::protocol::health::health_check_response::ServingStatus;
use crate::protocol::health::health_client::HealthClient;
use crate::protocol::health::{HealthCheckRequest, HealthCheckResponse};

/// Asks on a connection of its own; gives a line that says who is healthy.
///
/// # Errors
/// Why there was no answer, or that it was not SERVING.
pub(super) async fn check(grpc: &Grpc, pod: IpAddr, agent: &HeaderValue) -> anyhow::Result<String> {
    let address = SocketAddr::new(pod, grpc.port.get());
    let service = grpc.service.clone().unwrap_or_default();
    let subject = format!("health of {service:?} at {address}");
    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .user_agent(agent.clone())?
        .connect()
        .await
        .with_context(|| format!("connect to {address}"))?;
    let asked = HealthClient::new(channel)
        .check(HealthCheckRequest { service })
        .await;
    match asked.map(|answer| serving(&answer.into_inner())) {
        Ok(ServingStatus::Serving) => Ok(format!("{subject}: SERVING")),
        Ok(other) => bail!("{subject}: {}", other.as_str_name()),
        Err(status) if status.code() == Code::Unimplemented => {
            bail!("{subject}: the server does not implement grpc.health.v1.Health")
        }
        Err(status) => bail!("{subject}: {:?}: {}", status.code(), status.message()),
    }
}

/// A status that this version does not know is not SERVING.
fn serving(answer: &HealthCheckResponse) -> ServingStatus {
    ServingStatus::try_from(answer.status).unwrap_or(ServingStatus::Unknown)
}
