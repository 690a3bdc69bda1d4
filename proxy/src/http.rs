//! A connection that speaks HTTP: serves it request by request, each routed on its own. Before it on the path:
//! `listen` or `detect`; after it: `route`, `balance`, `pool`.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONNECTION, HOST, HeaderName};
use ::http::{StatusCode, Version};
use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::balance::Endpoint;
use crate::body::Body;
use crate::detect::{HTTP2_PREFACE, Prefixed};
use crate::drain::Drain;
use crate::http1::{self, After, MAX_HEAD};
use crate::mesh::Destination;
use crate::message::{Request, Response, text};
use crate::metrics::{Direction, Metrics};
use crate::pool::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::scratch;

mod access;
mod admission;
mod asked;
mod failed;
mod forward;
mod headers;
mod limits;
mod mirror;
mod onward;
mod outcome;
mod repeat;
mod reply;
mod tries;
mod upgrade;

pub use access::{AccessLog, Format};
pub(crate) use access::{Flag, Metered, Record};
pub(crate) use headers::strip;
pub(crate) use reply::NOT_DELIVERED;

use forward::Means;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Envoy's words for a route's or a try's timeout.
const TIMEOUT: &str = "upstream request timeout";

/// How long after the drain has begun a connection may stay idle. Until then it is the client that closes it,
/// having read `Connection: close`; no request meets a connection that is just being closed.
const DRAIN_IDLE: Duration = Duration::from_secs(2);
/// HTTP/2 streams that one client connection may have open, in number.
const MAX_STREAMS: u32 = 1024;

/// Where the requests of a connection go.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// Out of the pod: by the routes of a service of the mesh.
    Mesh(Destination),
    /// Into the pod: to its own application.
    Local(Arc<Endpoint>),
}

impl Upstream {
    fn direction(&self) -> Direction {
        match self {
            Self::Mesh(_) => Direction::Outbound,
            Self::Local(_) => Direction::Inbound,
        }
    }

    /// For this request, if that is elsewhere: where the address may mean several services, its authority says which.
    async fn named(&self, request: &Request) -> Option<Self> {
        let Self::Mesh(destination) = self else {
            return None;
        };
        let header = || request.headers.get(HOST).and_then(text);
        let authority = request.uri.authority().map(::http::uri::Authority::as_str);
        destination
            .named(authority.or_else(header)?)
            .await
            .map(Self::Mesh)
    }
}

/// The connection that requests come on, and what of the proxy they need.
#[derive(Debug, Clone)]
pub struct Downstream {
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it meant to go.
    pub destination: SocketAddr,
    /// The end of the proxy.
    pub drain: Drain,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What becomes of each request.
    pub log: AccessLog,
}

/// What all requests of a connection share.
#[derive(Debug)]
struct Serving {
    upstream: Upstream,
    downstream: Downstream,
}

/// Serves a connection until either side has ended it; the drain ends it after the request under way.
pub async fn serve(stream: Prefixed<TcpStream>, upstream: Upstream, downstream: Downstream) {
    let serving = Serving { upstream, downstream };
    let (mut begun, mut stream) = stream.into_parts();
    // There is no limit on how long a client may be silent, and with what it has said so far it may still speak either.
    while HTTP2_PREFACE.starts_with(&begun) && begun.len() < HTTP2_PREFACE.len() {
        match read_begun(&mut stream, &mut begun, &serving.downstream.drain).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return tracing::debug!(%error, "connection ended"),
        }
    }
    if begun.starts_with(HTTP2_PREFACE) {
        Box::pin(serve_http2(Prefixed::new(begun, stream), serving)).await;
    } else {
        serve_http1(stream, begun, &serving).await;
    }
}

/// Nothing if the connection has ended, or is idle in a drain.
async fn read_begun(stream: &mut TcpStream, begun: &mut BytesMut, drain: &Drain) -> std::io::Result<usize> {
    tokio::select! {
        read = scratch::read(stream, begun) => read,
        () = drain.begun_since(DRAIN_IDLE) => Ok(0),
    }
}

async fn serve_http1(stream: TcpStream, begun: BytesMut, serving: &Serving) {
    let downstream = &serving.downstream;
    let drain = downstream.drain.clone();
    let ending = Box::pin(async move { drain.begun_since(DRAIN_IDLE).await });
    let mut client = http1::Client::new(stream, begun, downstream.metrics.clone(), ending);
    let interims = client.interims();
    loop {
        let (mut request, body) = match client.next().await {
            Ok(Some(asked)) => asked,
            Ok(None) => return,
            Err(error) => {
                client.respond(unread(&error, serving)).await;
                return client.close().await;
            }
        };
        // Clients of HTTP/1.0 know none (RFC 9110, section 15.2).
        let means = Means {
            interims: (request.version == Version::HTTP_11).then_some(&*interims),
            upgrade: None,
        };
        let handled = {
            let handling = pin!(handle(&mut request, body, means, serving));
            client.while_there(handling).await
        };
        let Some((response, record)) = handled else {
            return;
        };
        match client.respond(record.attach(response)).await {
            After::Next => {}
            After::Close => return client.close().await,
            After::Tunnel(upstream) => return upgrade::carry(client, upstream).await,
        }
    }
}

/// For a head that cannot be read.
fn unread(error: &http1::Error, serving: &Serving) -> Response {
    let Serving { upstream, downstream } = serving;
    let (status, details) = match error {
        http1::Error::TooLarge(_) => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "http1.headers_too_large",
        ),
        _ => (StatusCode::BAD_REQUEST, "http1.codec_error"),
    };
    tracing::info!(peer = %downstream.peer, destination = %downstream.destination, %error, status = status.as_u16(), "refused");
    downstream.metrics.request(upstream.direction(), status);
    Record::unread(upstream, downstream, status, details);
    reply::unread(status, error)
}

async fn serve_http2(stream: Prefixed<TcpStream>, serving: Serving) {
    let drain = serving.downstream.drain.clone();
    let serving = Arc::new(serving);
    let service = service_fn(move |mut request: ::http::Request<Incoming>| {
        let serving = serving.clone();
        async move {
            let upgrade =
                (request.method() == ::http::Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
            let (parts, body) = request.into_parts();
            let means = Means {
                interims: None,
                upgrade,
            };
            let mut request = parts.into();
            let (response, record) = handle(&mut request, body.into(), means, &serving).await;
            Ok::<_, std::convert::Infallible>(::http::Response::from(record.attach(response)))
        }
    });
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.begun_since(DRAIN_IDLE) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn handle(
    request: &mut Request,
    body: Body,
    means: Means<'_>,
    serving: &Serving,
) -> (Response, Record) {
    let Serving { upstream, downstream } = serving;
    let named = upstream.named(request).await;
    let upstream = named.as_ref().unwrap_or(upstream);
    let version = request.version;
    let mut record = Record::begin(request, upstream, downstream);
    let mut response = forward::forward(request, body, upstream, downstream, means, &mut record).await;
    if version != Version::HTTP_2
        && downstream.drain.begun()
        && response.status != StatusCode::SWITCHING_PROTOCOLS
    {
        response.headers.set(&CONNECTION, "close");
    }
    downstream.metrics.request(upstream.direction(), response.status);
    (response, record)
}
