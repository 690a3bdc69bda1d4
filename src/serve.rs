//! HTTP/1.1 and HTTP/2 with limits, over TLS or plain: one way to serve for the webhook, for discovery and for monitoring.
//! A connection goes from here (accept, handshake) through `serve::preface` to the router that was given.

mod preface;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, info, warn};

/// What a listener bears. How long a request may take is not here: a discovery stream has no end, so that is for the
/// router to say.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; further clients wait in the listener's backlog.
    pub connections: usize,
    /// From accepting a connection to the end of its TLS handshake.
    pub handshake: Duration,
    /// For the header of an HTTP/1.1 request, from the moment the connection is ready for it (so that this is the idle
    /// timeout as well), and for the first bytes of an HTTP/2 connection.
    pub header: Duration,
    /// Bytes of a request's header, at least 8 KiB.
    pub header_bytes: u32,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Streams of an HTTP/2 connection that were reset, by the client before they were accepted or by us because of the
    /// client's mistakes, before the connection is closed (CVE-2023-44487, CVE-2025-8671).
    pub resets: usize,
    /// How often an HTTP/2 client is asked whether it is still there.
    pub ping_interval: Duration,
    /// How long it has to answer.
    pub ping_timeout: Duration,
    /// From shutdown to the moment at which connections that are still busy are cut.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(15),
            header_bytes: 32 * 1024,
            streams: 256,
            resets: 32,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(20),
        }
    }
}

/// Serves `router` over TLS until `shutdown`, then finishes what is in flight, for `limits.drain` at most. A request carries
/// its client's address as `ConnectInfo<SocketAddr>`.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    accept(listener, Some(tls.into()), router, limits, shutdown).await
}

/// The same without TLS, HTTP/1.1 alone.
///
/// # Errors
/// When the listener has no address.
pub async fn serve_plain(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    accept(listener, None, router, limits, shutdown).await
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the listener has no local address")?;
    let cut = CancellationToken::new();
    let _cut_when_dropped = cut.clone().drop_guard();
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let server = Arc::new(Server {
        tls,
        router,
        http: http(&limits),
        limits,
        shutdown,
    });

    while let Some((stream, peer, slot)) = next(&listener, &slots, &server.shutdown).await {
        let (server, cut) = (Arc::clone(&server), cut.clone());
        connections.spawn(async move {
            let _slot = slot;
            tokio::select! {
                () = server.connection(stream, peer) => {}
                () = cut.cancelled() => debug!(%peer, "connection cut"),
            }
        });
    }

    drop(listener);
    connections.close();
    if tokio::time::timeout(server.limits.drain, connections.wait())
        .await
        .is_err()
    {
        warn!(%address, connections = connections.len(), drain = ?server.limits.drain, "cutting connections that are still busy");
        cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// The next client, once there is a slot for it; `None` at shutdown.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let mut pause = Duration::from_millis(5);
    let accepted = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, slot)),
                Err(error) if is_of_one_connection(&error) => {
                    debug!(%error, "a client left before it was accepted")
                }
                // Out of file descriptors or memory: accepting again at once would only burn the processor.
                Err(error) => {
                    warn!(%error, ?pause, "cannot accept connections");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        accepted = accepted => accepted,
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(limits.header_bytes as usize);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(limits.resets)
        .max_local_error_reset_streams(limits.resets)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    http
}

struct Server {
    tls: Option<TlsAcceptor>,
    router: Router,
    http: auto::Builder<TokioExecutor>,
    limits: Limits,
    shutdown: CancellationToken,
}

impl Server {
    /// The whole life of a connection. The protocol is what ALPN says and never guessed from the first bytes, because
    /// guessing would wait for them without a limit.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = &self.tls else {
            return self.http(self.http.clone().http1_only(), stream, peer).await;
        };
        match tokio::time::timeout(self.limits.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                let stream = preface::within(stream, self.limits.header);
                self.http(self.http.clone().http2_only(), stream, peer).await;
            }
            Ok(Ok(stream)) => self.http(self.http.clone().http1_only(), stream, peer).await,
            // A client that says why it refuses (an authority it does not know, say) is worth a line, one that left is not.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                info!(%peer, %error, "TLS handshake failed")
            }
            Ok(Err(error)) => debug!(%peer, %error, "TLS handshake ended early"),
            Err(_) => debug!(%peer, limit = ?self.limits.handshake, "TLS handshake took too long"),
        }
    }

    async fn http<I>(&self, http: auto::Builder<TokioExecutor>, io: I, peer: SocketAddr)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            self.router.clone().oneshot(request)
        });
        let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            debug!(%peer, error = format!("{error:#}"), "connection ended with an error");
        }
    }
}

#[cfg(test)]
mod tests;
