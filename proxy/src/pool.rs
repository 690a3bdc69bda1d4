//! Connections to one endpoint that can be used again: HTTP/1.1 one request at a time, HTTP/2 shared.
//! Before it on the path: `balance`; after it: the other pod.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::balance::{Endpoint, InFlight};
use crate::body::Body;

/// How long an idle HTTP/1.1 connection is kept: below the keep-alive of common servers (5 s and more), so that
/// it is this end that closes it and no request meets a connection that the server is just closing.
const HTTP1_IDLE: Duration = Duration::from_secs(3);
/// The same for HTTP/2, where the server announces its closing.
const HTTP2_IDLE: Duration = Duration::from_secs(60);
/// How long a connection may take to be established; Istio's default.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 flow control, in bytes: what one stream and all of a connection's may have on the way.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 4 << 20;

/// The connections to one endpoint.
#[derive(Debug, Default)]
pub struct Pool {
    http1: Mutex<Vec<Idle>>,
    http2: tokio::sync::Mutex<Option<Shared>>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<Body>,
    since: Instant,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<Body>,
    used: Instant,
}

/// Held while a response is on its way; [`Lease::finish`] makes its connection usable again.
#[derive(Debug)]
pub(crate) struct Lease {
    endpoint: Arc<Endpoint>,
    sender: Option<http1::SendRequest<Body>>,
    _in_flight: InFlight,
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
}

/// Sends a request on a kept connection, or on a new one, and gives the response as soon as its head is here.
///
/// # Errors
/// See [`SendError`]; nothing is tried again here.
pub async fn send(endpoint: &Arc<Endpoint>, request: Request<Body>) -> Result<Response<Body>, SendError> {
    if request.version() == Version::HTTP_2 {
        send_http2(endpoint, request).await
    } else {
        send_http1(endpoint, request).await
    }
}

async fn send_http1(endpoint: &Arc<Endpoint>, request: Request<Body>) -> Result<Response<Body>, SendError> {
    let in_flight = endpoint.begin();
    let (mut sender, reused) = match endpoint.pool.take().await {
        Some(sender) => (sender, true),
        None => match connect_http1(endpoint.address).await {
            Ok(sender) => (sender, false),
            Err(error) => return Err(SendError::Connect(error, Box::new(request))),
        },
    };
    match sender.try_send_request(request).await {
        Ok(response) => Ok(leased(
            response,
            Lease {
                endpoint: endpoint.clone(),
                sender: Some(sender),
                _in_flight: in_flight,
            },
        )),
        Err(mut error) => Err(failed(error.take_message(), error.into_error(), reused)),
    }
}

async fn send_http2(endpoint: &Arc<Endpoint>, request: Request<Body>) -> Result<Response<Body>, SendError> {
    let in_flight = endpoint.begin();
    let (mut sender, reused) = match endpoint.pool.share(endpoint.address).await {
        Ok(shared) => shared,
        Err(error) => return Err(SendError::Connect(error, Box::new(request))),
    };
    match sender.try_send_request(request).await {
        Ok(response) => Ok(leased(
            response,
            Lease {
                endpoint: endpoint.clone(),
                sender: None,
                _in_flight: in_flight,
            },
        )),
        Err(mut error) => Err(failed(error.take_message(), error.into_error(), reused)),
    }
}

fn leased(response: Response<Incoming>, lease: Lease) -> Response<Body> {
    response.map(|incoming| Body::leased(incoming, lease))
}

fn failed(unsent: Option<Request<Body>>, error: hyper::Error, reused: bool) -> SendError {
    match unsent {
        Some(request) => SendError::Unsent(error, Box::new(request)),
        None => SendError::Broken { error, reused },
    }
}

impl Pool {
    /// The most recently used connection that is still open.
    async fn take(&self) -> Option<http1::SendRequest<Body>> {
        loop {
            let mut idle = self.idle().pop()?;
            // Not closed yet, but perhaps in the moment of it: `ready` tells.
            if idle.since.elapsed() < HTTP1_IDLE && idle.sender.ready().await.is_ok() {
                return Some(idle.sender);
            }
        }
    }

    /// The shared HTTP/2 connection, made if there is none, and whether it was there before.
    async fn share(&self, address: SocketAddr) -> io::Result<(http2::SendRequest<Body>, bool)> {
        let mut shared = self.http2.lock().await;
        if let Some(shared) = shared.as_mut()
            && shared.sender.ready().await.is_ok()
        {
            shared.used = Instant::now();
            return Ok((shared.sender.clone(), true));
        }
        let sender = connect_http2(address).await?;
        *shared = Some(Shared {
            sender: sender.clone(),
            used: Instant::now(),
        });
        Ok((sender, false))
    }

    /// Closes what has been idle for too long. `busy` keeps a shared connection that has streams.
    pub fn sweep(&self, busy: bool) {
        self.idle()
            .retain(|idle| idle.since.elapsed() < HTTP1_IDLE && !idle.sender.is_closed());
        if let Ok(mut shared) = self.http2.try_lock() {
            shared.take_if(|shared| shared.sender.is_closed() || !busy && shared.used.elapsed() > HTTP2_IDLE);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it is held; a poisoned list is a list all the same.
        self.http1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The response has ended: the connection can take the next request.
    pub(crate) fn finish(mut self) {
        if let Some(sender) = self.sender.take()
            && !sender.is_closed()
        {
            self.endpoint.pool.idle().push(Idle {
                sender,
                since: Instant::now(),
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

async fn connect_http2(address: SocketAddr) -> io::Result<http2::SendRequest<Body>> {
    let stream = connect(address).await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%address, %error, "upstream connection ended");
        }
    });
    Ok(sender)
}
