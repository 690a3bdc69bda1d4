//! Connections to one endpoint that can be used again: HTTP/1.1 one request at a time, HTTP/2 shared.
//! Before it on the path: `balance`; after it: the other pod.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version, uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::balance::{Endpoint, InFlight, Limit, Outcome, Overflow, Permit};
use crate::body::Body;
use crate::listen::keep_alive;

mod early;
mod gate;
mod http1;
mod http2;
mod opaque;
mod outcome;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use opaque::open;
pub(crate) use settings::Settings;
pub(crate) use stream::Stream;

use gate::Gate;

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
    http1: http1::Connections,
    http2: http2::Connections,
    gate: Arc<Gate>,
}

/// Held while a response is on its way; [`Lease::finish`] makes its connection usable again.
#[derive(Debug)]
pub(crate) struct Lease {
    hold: Hold,
    on: InFlight,
    _permit: Permit,
}

#[derive(Debug)]
enum Hold {
    /// The whole connection.
    Http1(Box<http1::Connection>),
    /// One stream of it.
    Http2(#[expect(dead_code, reason = "counted until it is dropped")] http2::Stream),
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection could be made. The request has not left this proxy.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection was closed before anything was sent on it. The request has not left this proxy.
    #[error("connection closed: {0}")]
    Unsent(hyper::Error),
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

/// Why a request got no connection.
#[derive(Debug, thiserror::Error)]
enum NoConnection {
    #[error(transparent)]
    Failed(#[from] io::Error),
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl From<NoConnection> for SendError {
    fn from(error: NoConnection) -> Self {
        match error {
            NoConnection::Failed(error) => Self::Connect(error),
            NoConnection::Overflow(overflow) => Self::Overflow(overflow),
        }
    }
}

/// Sends a request on a kept connection, or on a new one, and gives the response as soon as its head is here. The request
/// is taken out of its place when it is sent; what has not left this proxy is there again. `fresh` asks for a new
/// connection: the kept ones of HTTP/1 have just shown to be closed.
///
/// # Errors
/// See [`SendError`]; nothing is tried again here.
pub async fn send(
    endpoint: &Arc<Endpoint>,
    request: &mut Request<Body>,
    fresh: bool,
) -> Result<Response<Body>, SendError> {
    let sent = if request.version() == Version::HTTP_2 {
        send_http2(endpoint, request).await
    } else {
        send_http1(endpoint, request, fresh).await
    };
    match &sent {
        Ok(response) if endpoint.is_watched() => endpoint.report(outcome::of(response)),
        Err(SendError::Connect(_)) => endpoint.report(Outcome::ConnectFailed),
        // A kept connection that was just being closed says nothing of the endpoint, nor does a client that breaks off.
        Err(SendError::Broken { reused: false, error }) if !error.is_user() => {
            endpoint.report(Outcome::Reset)
        }
        Ok(_) | Err(_) => {}
    }
    sent
}

async fn send_http1(
    endpoint: &Arc<Endpoint>,
    request: &mut Request<Body>,
    fresh: bool,
) -> Result<Response<Body>, SendError> {
    let on = endpoint.begin();
    let pool = &endpoint.pool;
    let (mut connection, reused) = pool.http1.take(endpoint, &pool.gate, fresh).await?;
    let permit = match endpoint.shared.take(Limit::Requests) {
        Ok(permit) => permit,
        Err(overflow) => {
            pool.http1.keep(connection, &endpoint.shared.connect, &pool.gate);
            return Err(SendError::Overflow(overflow));
        }
    };
    let outcome = connection.sender.try_send_request(std::mem::take(request)).await;
    let lease = Lease {
        hold: Hold::Http1(connection),
        on,
        _permit: permit,
    };
    answered(outcome, lease, reused, request)
}

async fn send_http2(
    endpoint: &Arc<Endpoint>,
    request: &mut Request<Body>,
) -> Result<Response<Body>, SendError> {
    let on = endpoint.begin();
    let pool = &endpoint.pool;
    let (mut sender, stream, reused) = pool.http2.share(endpoint, &pool.gate).await?;
    let permit = endpoint
        .shared
        .take(Limit::Requests)
        .map_err(SendError::Overflow)?;
    if endpoint.shared.connect.is_encrypted() {
        encrypted(request);
    }
    let outcome = sender.try_send_request(std::mem::take(request)).await;
    let lease = Lease {
        hold: Hold::Http2(stream),
        on,
        _permit: permit,
    };
    answered(outcome, lease, reused, request)
}

/// The pseudo-header `:scheme` is that of the connection that the request is sent on.
fn encrypted(request: &mut Request<Body>) {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    if parts.scheme.is_some() {
        parts.scheme = Some(uri::Scheme::HTTPS);
    }
    if let Ok(uri) = parts.try_into() {
        *request.uri_mut() = uri;
    }
}

/// What came of a request: the response holds the lease until its body has ended, an error lets go of it.
fn answered(
    outcome: Result<Response<Incoming>, TrySendError<Request<Body>>>,
    lease: Lease,
    reused: bool,
    request: &mut Request<Body>,
) -> Result<Response<Body>, SendError> {
    outcome
        .map(|response| response.map(|incoming| Body::leased(incoming, lease)))
        .map_err(|mut error| match error.take_message() {
            Some(unsent) => {
                *request = unsent;
                SendError::Unsent(error.into_error())
            }
            None => SendError::Broken {
                error: error.into_error(),
                reused,
            },
        })
}

impl Pool {
    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self, settings: &Settings) {
        self.http1.sweep(settings);
        self.http2.sweep(settings);
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.http1.is_empty() && self.http2.is_empty()
    }
}

impl Lease {
    /// The response has ended: the connection can take the next request, as soon as its own request has ended too.
    pub(crate) fn finish(self) {
        let Hold::Http1(mut connection) = self.hold else {
            return;
        };
        let keep = |connection, on: &InFlight| {
            let (pool, settings) = (&on.endpoint().pool, &on.endpoint().shared.connect);
            pool.http1.keep(connection, settings, &pool.gate);
        };
        let on = self.on;
        if connection.sender.is_ready() {
            keep(connection, &on);
        } else if !connection.sender.is_closed() {
            tokio::spawn(async move {
                if connection.sender.ready().await.is_ok() {
                    keep(connection, &on);
                }
            });
        }
    }
}

/// Connects to where no rule has a say, within [`CONNECT_TIMEOUT`].
///
/// # Errors
/// What the operating system says, or that it took too long.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    stream::within(address, CONNECT_TIMEOUT, async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        keep_alive(SockRef::from(&stream))?;
        Ok(stream)
    })
    .await
}
