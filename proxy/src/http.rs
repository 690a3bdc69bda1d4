//! A connection that speaks HTTP: serves it request by request, each routed on its own. Before it on the path:
//! `listen` or `detect`; after it: `route`, `balance`, `pool`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use ::http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use crate::balance::Endpoint;
use crate::body::Body;
use crate::detect::Prefixed;
use crate::drain::Drain;
use crate::mesh::Destination;
use crate::metrics::{Direction, Metrics};
use crate::pool::{CONNECTION_WINDOW, MAX_HEADERS, STREAM_WINDOW};

mod access;
mod admission;
mod asked;
mod failed;
mod forward;
mod headers;
mod heads;
mod interim;
mod limits;
mod mirror;
mod onward;
mod outcome;
mod reply;
mod spare;
mod tries;
mod upgrade;

pub use access::{AccessLog, Format};
pub(crate) use access::{Flag, Metered, Record};
pub(crate) use reply::NOT_DELIVERED;

use admission::FramedTwice;
use heads::Followed;
use interim::Interims;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Envoy's words for a route's or a try's timeout.
const TIMEOUT: &str = "upstream request timeout";
/// How many headers a request may have; Envoy's default, and hyper's for HTTP/1.
const MAX_HEADER_COUNT: usize = 100;

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
    async fn named<T>(&self, request: &Request<T>) -> Option<Self> {
        let Self::Mesh(destination) = self else {
            return None;
        };
        let header = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let authority = request.uri().authority().map(::http::uri::Authority::as_str);
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
    interims: Arc<Interims>,
}

/// Serves a connection until either side has ended it; the drain ends it after the request under way. There is one type of
/// stream, so that hyper's server is in the program once.
pub async fn serve(stream: Prefixed<TcpStream>, upstream: Upstream, downstream: Downstream) {
    let drain = downstream.drain.clone();
    let interims = Arc::new(Interims::new(downstream.metrics.clone()));
    let (stream, framings) = Followed::new(stream, interims.clone());
    let serving = Arc::new(Serving {
        upstream,
        downstream,
        interims,
    });
    let of_all = serving.clone();
    let service = service_fn(move |mut request| {
        if request.version() != Version::HTTP_2 && framings.next_is_ambiguous() {
            request.extensions_mut().insert(FramedTwice);
        }
        handle(request, of_all.clone())
    });
    let mut server = auto::Builder::new(TokioExecutor::new()).preserve_header_case(true);
    // No limit on how long a header section takes or a connection is idle: the application behind has its own,
    // and a client must not notice that there is a second server in front of it.
    server
        .http1()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADERS as usize)
        .timer(TokioTimer::new());
    server
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS);
    let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.begun_since(DRAIN_IDLE) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    let Err(error) = ended else {
        return;
    };
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse() => unread(error, &serving.upstream, &serving.downstream),
        _ => tracing::debug!(error, "connection ended"),
    }
}

/// hyper has refused a head by itself, and closed the connection.
fn unread(error: &hyper::Error, upstream: &Upstream, downstream: &Downstream) {
    let (status, details) = match error.is_parse_too_large() {
        true => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "http1.headers_too_large",
        ),
        false => (StatusCode::BAD_REQUEST, "http1.codec_error"),
    };
    tracing::info!(peer = %downstream.peer, destination = %downstream.destination, %error, status = status.as_u16(), "refused");
    downstream.metrics.request(upstream.direction(), status);
    Record::unread(upstream, downstream, status, details);
}

async fn handle(
    request: Request<Incoming>,
    serving: Arc<Serving>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let Serving {
        upstream,
        downstream,
        interims,
    } = &*serving;
    let named = upstream.named(&request).await;
    let upstream = named.as_ref().unwrap_or(upstream);
    let direction = upstream.direction();
    let version = request.version();
    let (parts, body) = request.into_parts();
    let mut record = Record::begin(&parts, upstream, downstream);
    let request = Request::from_parts(parts, Body::streamed(body));
    // Clients of HTTP/1.0 know none (RFC 9110, section 15.2), and hyper has no way to send them in HTTP/2.
    let told = (version == Version::HTTP_11).then_some(interims);
    let mut response = forward::forward(request, upstream, downstream, told, &mut record).await;
    if version != Version::HTTP_2 {
        interims.answered();
        *response.version_mut() = version;
        if downstream.drain.begun() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    downstream.metrics.request(direction, response.status());
    Ok(record.attach(response))
}
