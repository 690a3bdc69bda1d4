//! Connections to one endpoint that can be used again: HTTP/1.1 one request at a time, HTTP/2 shared.
//! Before it on the path: `balance`; after it: the other pod.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::balance::{Endpoint, InFlight, Limit, Outcome, Overflow, Permit};
use crate::body::Body;

mod http2;
mod outcome;

/// How long an idle HTTP/1.1 connection is kept: below the keep-alive of common servers (5 s and more), so that
/// it is this end that closes it and no request meets a connection that the server is just closing.
const HTTP1_IDLE: Duration = Duration::from_secs(3);
/// How long a connection may take to be established; Istio's default.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 flow control, in bytes: what one stream and all of a connection's may have on the way.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 4 << 20;
/// What a header section may take, in bytes; Envoy's default of 60 KiB.
pub(crate) const MAX_HEADERS: u32 = 60 << 10;

/// The connections to one endpoint.
#[derive(Debug, Default)]
pub struct Pool {
    http1: Mutex<Vec<Idle>>,
    http2: http2::Connections,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<Body>,
    since: Instant,
}

/// Held while a response is on its way; [`Lease::finish`] makes its connection usable again.
#[derive(Debug)]
pub(crate) struct Lease {
    endpoint: Arc<Endpoint>,
    hold: Hold,
    _in_flight: InFlight,
    _permit: Permit,
}

#[derive(Debug)]
enum Hold {
    /// The whole connection.
    Http1(http1::SendRequest<Body>),
    /// One stream of it.
    Http2(#[expect(dead_code, reason = "counted until it is dropped")] http2::Stream),
}

/// Why there is no response. A request that is handed back has not left this proxy.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(io::Error, Box<Request<Body>>),
    /// The connection was closed before anything was sent on it.
    #[error("connection closed: {0}")]
    Unsent(hyper::Error, Box<Request<Body>>),
    /// The connection broke with the request under way; whether anything of it was handled is not known.
    /// `reused` tells a kept connection, which the other side may just have been closing, from a fresh one.
    #[error("connection broke before the response: {error}")]
    Broken {
        /// hyper's reason.
        error: hyper::Error,
        /// Whether an earlier request had used the connection.
        reused: bool,
    },
    /// The DestinationRule allows no more at a time: 503 with `x-envoy-overloaded`, flag UO.
    #[error(transparent)]
    Overflow(Overflow),
}

/// Sends a request on a kept connection, or on a new one, and gives the response as soon as its head is here.
/// `fresh` asks for a new one: the kept ones of HTTP/1 have just shown to be closed.
///
/// # Errors
/// See [`SendError`]; nothing is tried again here.
pub async fn send(
    endpoint: &Arc<Endpoint>,
    request: Request<Body>,
    fresh: bool,
) -> Result<Response<Body>, SendError> {
    let sent = if request.version() == Version::HTTP_2 {
        send_http2(endpoint, request).await
    } else {
        send_http1(endpoint, request, fresh).await
    };
    match &sent {
        Ok(response) => endpoint.report(outcome::of(response)),
        Err(SendError::Connect(..)) => endpoint.report(Outcome::ConnectFailed),
        // A kept connection that was just being closed says nothing of the endpoint.
        Err(SendError::Broken { reused: false, .. }) => endpoint.report(Outcome::Reset),
        Err(_) => {}
    }
    sent
}

async fn send_http1(
    endpoint: &Arc<Endpoint>,
    request: Request<Body>,
    fresh: bool,
) -> Result<Response<Body>, SendError> {
    let permit = endpoint
        .shared
        .take(Limit::Requests)
        .map_err(SendError::Overflow)?;
    let in_flight = endpoint.begin();
    let (mut sender, reused) = match endpoint.pool.take().filter(|_| !fresh) {
        Some(sender) => (sender, true),
        None => match connect_http1(endpoint.address).await {
            Ok(sender) => (sender, false),
            Err(error) => return Err(SendError::Connect(error, Box::new(request))),
        },
    };
    let outcome = sender.try_send_request(request).await;
    let lease = Lease {
        endpoint: endpoint.clone(),
        hold: Hold::Http1(sender),
        _in_flight: in_flight,
        _permit: permit,
    };
    answered(outcome, lease, reused)
}

async fn send_http2(endpoint: &Arc<Endpoint>, request: Request<Body>) -> Result<Response<Body>, SendError> {
    let permit = endpoint
        .shared
        .take(Limit::Requests)
        .map_err(SendError::Overflow)?;
    let in_flight = endpoint.begin();
    let (mut sender, stream, reused) = match endpoint.pool.http2.share(endpoint.address).await {
        Ok(shared) => shared,
        Err(error) => return Err(SendError::Connect(error, Box::new(request))),
    };
    let outcome = sender.try_send_request(request).await;
    let lease = Lease {
        endpoint: endpoint.clone(),
        hold: Hold::Http2(stream),
        _in_flight: in_flight,
        _permit: permit,
    };
    answered(outcome, lease, reused)
}

/// What came of a request: the response holds the lease until its body has ended, an error lets go of it.
fn answered(
    outcome: Result<Response<Incoming>, TrySendError<Request<Body>>>,
    lease: Lease,
    reused: bool,
) -> Result<Response<Body>, SendError> {
    outcome
        .map(|response| response.map(|incoming| Body::leased(incoming, lease)))
        .map_err(|mut error| match error.take_message() {
            Some(unsent) => SendError::Unsent(error.into_error(), Box::new(unsent)),
            None => SendError::Broken {
                error: error.into_error(),
                reused,
            },
        })
}

impl Pool {
    /// The most recently used connection that is still open.
    fn take(&self) -> Option<http1::SendRequest<Body>> {
        loop {
            let idle = self.idle().pop()?;
            if idle.since.elapsed() < HTTP1_IDLE && idle.sender.is_ready() {
                return Some(idle.sender);
            }
        }
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        self.idle()
            .retain(|idle| idle.since.elapsed() < HTTP1_IDLE && !idle.sender.is_closed());
        self.http2.sweep();
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.idle().is_empty() && self.http2.is_empty()
    }

    fn keep(&self, sender: http1::SendRequest<Body>) {
        self.idle().push(Idle {
            sender,
            since: Instant::now(),
        });
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it is held; a poisoned list is a list all the same.
        self.http1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The response has ended: the connection can take the next request, as soon as its own request has ended too.
    pub(crate) fn finish(self) {
        let Hold::Http1(mut sender) = self.hold else {
            return;
        };
        if sender.is_ready() {
            self.endpoint.pool.keep(sender);
        } else if !sender.is_closed() {
            let endpoint = self.endpoint;
            tokio::spawn(async move {
                if sender.ready().await.is_ok() {
                    endpoint.pool.keep(sender);
                }
            });
        }
    }
}

/// Connects within [`CONNECT_TIMEOUT`].
///
/// # Errors
/// What the operating system says, or that it took too long.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer from {address} in {CONNECT_TIMEOUT:?}"),
            )
        })??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn connect_http1(address: SocketAddr) -> io::Result<http1::SendRequest<Body>> {
    let stream = connect(address).await?;
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%address, %error, "upstream connection ended");
        }
    });
    Ok(sender)
}
