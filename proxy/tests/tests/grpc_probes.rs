//! Probes in which the application says itself, in gRPC's own protocol, how it is.

use outrigger_proxy::protocol::health::health_check_response::ServingStatus;
use outrigger_proxy::protocol::health::health_server::{Health, HealthServer};
use outrigger_proxy::protocol::health::{HealthCheckRequest, HealthCheckResponse};
use serde_json::json;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic::transport::Server;

use super::probes::{application, check};
use super::server::{self, dead};

struct Application;

#[tonic::async_trait]
impl Health for Application {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let agent = request.metadata().get("user-agent").unwrap().to_str().unwrap();
        let status = match request.get_ref().service.as_str() {
            _ if !agent.starts_with("kube-probe/1.34 ") => return Err(Status::internal(agent)),
            "" => ServingStatus::Serving,
            "tired" => ServingStatus::NotServing,
            "later" => return Err(Status::unimplemented("not yet")),
            "silent" => std::future::pending().await,
            _ => return Err(Status::not_found("no such service")),
        };
        Ok(tonic::Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }
}

#[tokio::test]
async fn grpc() {
    let (listener, address) = server::port().await;
    tokio::spawn(
        Server::builder()
            .add_service(HealthServer::new(Application))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let port = address.port();
    check(json!({"grpc": {"port": port}}), 200, "SERVING").await;
    for (service, words) in [
        ("tired", "\"tired\" at 127.0.0.1"),
        ("tired", "NOT_SERVING"),
        ("absent", "NotFound: no such service"),
        ("later", "does not implement grpc.health.v1.Health"),
        ("silent", "timeoutSeconds: 1"),
    ] {
        check(json!({"grpc": {"port": port, "service": service}}), 503, words).await;
    }
    let (_socket, refused) = dead();
    check(
        json!({"grpc": {"port": refused.port()}}),
        503,
        "connect to 127.0.0.1",
    )
    .await;
    let http = application().await.port();
    check(json!({"grpc": {"port": http}}), 503, "health of").await;
}
