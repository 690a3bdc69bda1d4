//! Connections to one endpoint that can be used again: HTTP/1.1 one request at a time, HTTP/2 shared.
//! Before it on the path: `balance`; after it: the other pod.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Version;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::balance::{Endpoint, InFlight, Outcome, Overflow, Permit};
use crate::body::Body;
use crate::http1::{Interims, Wire};
use crate::listen::keep_alive;
use crate::message::{Request, Response};

mod gate;
mod http1;
mod http2;
mod opaque;
mod outcome;
mod relay;
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
    Unsent(String),
    /// The connection broke with the request under way. `reused` tells a kept connection, which the other side may just have
    /// been closing, from a fresh one.
    #[error("{why}")]
    Broken {
        /// What of the request was handled.
        how: Broken,
        /// For a person.
        why: String,
        /// Whether an earlier request had used the connection.
        reused: bool,
    },
    /// The DestinationRule allows no more at a time: 503 with `x-envoy-overloaded`, flag UO.
    #[error(transparent)]
    Overflow(Overflow),
}

/// How a connection broke with a request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The server closed it. Whether anything of the request was handled is not known.
    Closed,
    /// The server says that it has not begun with the request.
    Refused,
    /// Some other way. Whether anything was handled is not known.
    Otherwise,
    /// What the server says is not HTTP.
    Malformed,
    /// By the client, in the middle of the request's body.
    Request,
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

/// Sends a request on a kept connection, or on a new one, and gives the response as soon as its head is here. The body is
/// taken out of its place when it is sent; if nothing has left this proxy it is there again. `fresh` asks for a new
/// connection: the kept ones of HTTP/1 have just shown to be closed. What the server says before its response is told to
/// `interims`.
///
/// # Errors
/// See [`SendError`]; nothing is tried again here.
pub(crate) async fn send(
    endpoint: &Arc<Endpoint>,
    request: &Request,
    body: &mut Body,
    fresh: bool,
    interims: Option<&Interims>,
) -> Result<Response, SendError> {
    let sent = if request.version == Version::HTTP_2 {
        // On the heap: it is much to carry around in requests of HTTP/1.
        Box::pin(http2::send(endpoint, request, body)).await
    } else {
        http1::send(endpoint, request, body, fresh, interims).await
    };
    match &sent {
        Ok(response) if endpoint.is_watched() => endpoint.report(outcome::of(response)),
        Err(SendError::Connect(_)) => endpoint.report(Outcome::ConnectFailed),
        // A kept connection that was just being closed says nothing of the endpoint, nor does a client that breaks off.
        Err(SendError::Broken {
            reused: false, how, ..
        }) if *how != Broken::Request => endpoint.report(Outcome::Reset),
        Ok(_) | Err(_) => {}
    }
    sent
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
    /// The connection of HTTP/1.
    pub(crate) fn wire(&mut self) -> Option<&mut Wire<Stream>> {
        match &mut self.hold {
            Hold::Http1(connection) => Some(&mut connection.wire),
            Hold::Http2(_) => None,
        }
    }

    /// The response has ended: its connection can take the next request, unless one of the two sides has said otherwise.
    pub(crate) fn finish(self) {
        if let Hold::Http1(connection) = self.hold {
            let (pool, settings) = (&self.on.endpoint().pool, &self.on.endpoint().shared.connect);
            pool.http1.keep(connection, settings, &pool.gate);
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
