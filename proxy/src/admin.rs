//! The proxy's own three small servers: readiness for the kubelet, metrics for Prometheus, and what the proxy
//! knows for a person.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;

use ::http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::body::Body;
use crate::drain::Drain;
use crate::mesh::Mesh;
use crate::metrics::Metrics;

/// How long a client may take to send its request.
const HEADER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Admin {
    /// What is known of the mesh.
    pub mesh: Mesh,
    /// Whether the proxy is on its way out.
    pub drain: Drain,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Which pages a port has: each has its own readers.
#[derive(Debug, Clone, Copy)]
pub enum Pages {
    /// `/healthz/ready`.
    Readiness,
    /// `/metrics` and, as Istio's scrape configurations have it, `/stats/prometheus`.
    Metrics,
    /// `/config_dump`, and the other two.
    All,
}

impl Admin {
    /// Serves for ever.
    pub async fn serve(self, listener: TcpListener, pages: Pages) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // For want of descriptors, most likely: they come back.
                tokio::time::sleep(HEADER_TIMEOUT / 50).await;
                continue;
            };
            let admin = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = admin.page(pages, &request);
                    async { Ok::<_, Infallible>(response) }
                });
                let mut server = http1::Builder::new();
                server
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT);
                let connection = server.serve_connection(TokioIo::new(stream), service);
                tokio::pin!(connection);
                if let Err(error) = poll_fn(|context| connection.as_mut().poll(context)).await {
                    tracing::debug!(%error, "admin connection ended");
                }
            });
        }
    }

    fn page(&self, pages: Pages, request: &Request<Incoming>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
        }
        match (request.uri().path(), pages) {
            ("/healthz/ready", Pages::Readiness | Pages::All) => self.readiness(),
            ("/metrics" | "/stats/prometheus", Pages::Metrics | Pages::All) => {
                text(StatusCode::OK, self.metrics.text(self.drain.open()))
            }
            ("/config_dump", Pages::All) => text(StatusCode::OK, format!("{:#}\n", self.mesh.dump())),
            (_, Pages::Readiness) => text(StatusCode::NOT_FOUND, "there is /healthz/ready\n".into()),
            (_, Pages::Metrics) => text(StatusCode::NOT_FOUND, "there is /metrics\n".into()),
            (_, Pages::All) => text(
                StatusCode::NOT_FOUND,
                "there are /config_dump, /metrics and /healthz/ready\n".into(),
            ),
        }
    }

    /// Ready once the control plane has spoken, and until the end begins.
    fn readiness(&self) -> Response<Body> {
        if self.drain.begun() {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n".into())
        } else if self.mesh.workload().is_none() {
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the control plane has not been reached yet\n".into(),
            )
        } else {
            text(StatusCode::OK, "ready\n".into())
        }
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    *response.status_mut() = status;
    response
}
