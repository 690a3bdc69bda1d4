//! The proxy's own three small servers: readiness for the kubelet; metrics, the application's probes and quitting; and
//! what the proxy knows for a person. After it on the path: `probe`, `metrics` or `quit`.

use std::future::pending;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use ::http::header::ALLOW;
use ::http::{HeaderMap, Method, StatusCode};
use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::config::Config;
use crate::drain::Drain;
use crate::fetch::Client;
use crate::http1::{self, After};
use crate::mesh::Mesh;
use crate::message::{Request, Response};
use crate::metrics::Metrics;
use crate::metrics::scrape::Scraper;
use crate::probe::prober::{Prober, Verdict};
use quit::Quit;

mod quit;

/// How long a client may take to send its request, and be idle.
const HEADER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Admin {
    mesh: Mesh,
    drain: Drain,
    metrics: Arc<Metrics>,
    prober: Prober,
    scraper: Scraper,
    shutdown: CancellationToken,
}

/// Which pages a port has: each has its own readers.
#[derive(Debug, Clone, Copy)]
pub enum Pages {
    /// `/healthz/ready`.
    Readiness,
    /// `/metrics` and, as Istio's scrape configurations have it, `/stats/prometheus`; the application's probes at
    /// their paths; `/quitquitquit`.
    Application,
    /// `/config_dump`, readiness and the proxy's own metrics.
    Own,
}

impl Admin {
    /// Shows a proxy; `shutdown` is what ends it.
    pub fn new(
        config: &Config,
        mesh: Mesh,
        drain: Drain,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Self {
        let client = Client::default();
        let (address, app) = (config.application, config.app_metrics.clone());
        Self {
            prober: Prober::new(&config.probes, address, client.clone()),
            scraper: Scraper::new(metrics.clone(), drain.clone(), app, address, client),
            mesh,
            drain,
            metrics,
            shutdown,
        }
    }

    /// Serves for ever.
    pub async fn serve(self, listener: TcpListener, pages: Pages) {
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                // For want of descriptors, most likely: they come back.
                tokio::time::sleep(HEADER_TIMEOUT / 50).await;
                continue;
            };
            tokio::spawn(self.clone().connection(stream, peer.ip().to_canonical(), pages));
        }
    }

    async fn connection(self, stream: TcpStream, peer: IpAddr, pages: Pages) {
        let quit = Quit::new(peer);
        self.pages(stream, pages, &quit).await;
        // Only now has its answer been sent: the proxy may end at once.
        if quit.asked() {
            self.shutdown.cancel();
        }
    }

    async fn pages(&self, stream: TcpStream, pages: Pages, quit: &Quit) {
        let never = Box::pin(pending());
        let mut client = http1::Client::new(stream, BytesMut::new(), self.metrics.clone(), never);
        loop {
            let Ok(next) = timeout(HEADER_TIMEOUT, client.next()).await else {
                return;
            };
            let response = match next {
                Ok(Some((request, body))) => {
                    drop(body);
                    let page = pin!(self.page(pages, &request, quit));
                    match client.while_there(page).await {
                        Some(Ok(response)) => response,
                        // Closes the connection without an answer.
                        Some(Err(_)) | None => return,
                    }
                }
                Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
                Ok(None) => return,
            };
            let After::Next = client.respond(response).await else {
                return client.close().await;
            };
        }
    }

    /// An error closes the connection without an answer.
    async fn page(&self, pages: Pages, request: &Request, quit: &Quit) -> anyhow::Result<Response> {
        let (path, headers) = (request.uri.path(), &HeaderMap::from(&request.headers));
        if matches!((path, pages), ("/quitquitquit", Pages::Application)) {
            return Ok(quit.answer(&request.method));
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
            refusal.headers.set(&ALLOW, "GET, HEAD");
            return Ok(refusal);
        }
        Ok(match (path, pages) {
            ("/healthz/ready", Pages::Readiness | Pages::Own) => self.readiness(),
            ("/metrics" | "/stats/prometheus", Pages::Application) => {
                self.scraper.both(headers, request.uri.query()).await
            }
            ("/metrics" | "/stats/prometheus", Pages::Own) => self.scraper.own(headers),
            ("/config_dump", Pages::Own) => text(StatusCode::OK, format!("{:#}\n", self.mesh.dump())),
            (path, Pages::Application) => match self.prober.run(path, headers).await {
                Some(Verdict::Status(status, line)) => text(status, format!("{line}\n")),
                Some(Verdict::Undelivered(error)) => {
                    tracing::warn!("{error:#}");
                    return Err(error);
                }
                None => {
                    let mut paths = vec!["/metrics", "/stats/prometheus", "/quitquitquit"];
                    paths.extend(self.prober.paths());
                    text(StatusCode::NOT_FOUND, format!("there are {}\n", paths.join(", ")))
                }
            },
            (_, Pages::Readiness) => text(StatusCode::NOT_FOUND, "there is /healthz/ready\n".into()),
            (_, Pages::Own) => text(
                StatusCode::NOT_FOUND,
                "there are /config_dump, /metrics and /healthz/ready\n".into(),
            ),
        })
    }

    /// Ready once the control plane has spoken, and until the end begins.
    fn readiness(&self) -> Response {
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

fn text(status: StatusCode, text: String) -> Response {
    Response::of(status, Body::text(text))
}
