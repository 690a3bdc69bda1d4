//! Runs a probe when the kubelet asks for it. Before it on the path: `admin`; after it: `http_get`, `grpc`, or a bare
//! connection.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Handler, Probe, Probes, grpc, http_get, is_hook};
use crate::fetch::Client;

/// How often one probe may run at the same time. The kubelet runs it once; the rest is for people. More wait, each
/// for no longer than its probe may take.
const AT_ONCE: usize = 4;

/// The application's probes, ready to run; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    probes: Arc<[(String, Probe, Semaphore)]>,
    application: IpAddr,
    client: Client,
}

/// What the kubelet is to see.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// This status; the line is for people.
    Status(StatusCode, String),
    /// No answer at all: a lifecycle hook could not be delivered. The kubelet takes any answer to a hook, of whatever
    /// status, for a success, so only a broken connection tells it.
    Undelivered(anyhow::Error),
}

impl Prober {
    pub(crate) fn new(probes: &Probes, application: IpAddr, client: Client) -> Self {
        let probes = probes.0.iter();
        Self {
            probes: probes
                .map(|(path, probe)| (path.clone(), probe.clone(), Semaphore::new(AT_ONCE)))
                .collect(),
            application,
            client,
        }
    }

    /// All paths, sorted.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.probes.iter().map(|(path, ..)| path.as_str())
    }

    /// Runs the probe at `path`; `None` if there is none. `asked` is what the kubelet sent.
    ///
    /// A hook may take as long as the kubelet waits for it, which has no limit of its own: when it gives up it closes
    /// its connection, and this future is dropped.
    pub(crate) async fn run(&self, path: &str, asked: &HeaderMap) -> Option<Verdict> {
        let at = self
            .probes
            .binary_search_by(|(known, ..)| known.as_str().cmp(path));
        let (_, probe, slots) = &self.probes[at.ok()?];
        let hook = is_hook(path);
        let running = async {
            let _slot = slots.acquire().await?;
            self.handle(&probe.handler, &agent(asked, hook), hook).await
        };
        let outcome = if hook {
            running.await
        } else {
            let limit = probe.timeout();
            let late = || format!("not done within timeoutSeconds: {}", limit.as_secs());
            timeout(limit, running)
                .await
                .with_context(late)
                .and_then(|outcome| outcome)
        };
        Some(match outcome {
            Ok((status, line)) => Verdict::Status(status, line),
            Err(error) if hook => Verdict::Undelivered(error.context(path.to_owned())),
            Err(error) => {
                tracing::debug!(path, error = format!("{error:#}"), "probe failed");
                Verdict::Status(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}"))
            }
        })
    }

    async fn handle(
        &self,
        handler: &Handler,
        agent: &HeaderValue,
        hook: bool,
    ) -> anyhow::Result<(StatusCode, String)> {
        match handler {
            Handler::HttpGet(get) if hook => {
                http_get::deliver(&self.client, get, self.application, agent).await
            }
            Handler::HttpGet(get) => http_get::probe(&self.client, get, self.application, agent).await,
            Handler::TcpSocket(socket) => {
                let pod = self.application.to_string();
                let host = if socket.host.is_empty() {
                    &pod
                } else {
                    &socket.host
                };
                TcpStream::connect((host.as_str(), socket.port.get()))
                    .await
                    .with_context(|| format!("connect to port {} of {host}", socket.port))?;
                Ok((
                    StatusCode::OK,
                    format!("connected to port {} of {host}", socket.port),
                ))
            }
            Handler::Grpc(grpc) => {
                let line = grpc::check(grpc, self.application, agent).await?;
                Ok((StatusCode::OK, line))
            }
        }
    }
}

/// The kubelet's own User-Agent, with its version, since it is what the application would have seen. Nobody else's.
fn agent(asked: &HeaderMap, hook: bool) -> HeaderValue {
    let name = if hook { "kube-lifecycle" } else { "kube-probe" };
    asked
        .get(USER_AGENT)
        .filter(|agent| agent.as_bytes().starts_with(name.as_bytes()))
        .cloned()
        .unwrap_or(HeaderValue::from_static(name))
}
