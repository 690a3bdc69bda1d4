//! One request: find its route, pick an endpoint, send it there, and again elsewhere if nothing of it has left.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::{Downstream, Upstream, headers, reply, upgrade};
use crate::balance::{self, Ask, Cluster, Endpoint, Hashed};
use crate::body::Body;
use crate::pool::{self, SendError};
use crate::route::{self, Target};
use crate::tcp::ATTEMPTS;

/// Gives the response of the pod that the rules choose, or one of our own that says why there is none.
pub(super) async fn forward(
    request: Request<Body>,
    upstream: &Upstream,
    downstream: &Downstream,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let refuse = reply::Refuse::new(&parts);
    if parts.method == Method::CONNECT {
        // A tunnel is not a request that a rule could route, and what is in it would be seen by none.
        return refuse.with(StatusCode::NOT_IMPLEMENTED, "CONNECT is not carried");
    }
    let wants_upgrade = upgrade::requested(&parts);
    let chosen = match choose(upstream, &parts) {
        Ok(chosen) => chosen,
        Err((status, why)) => return refuse.with(status, &why),
    };
    headers::strip(&mut parts.headers, wants_upgrade);
    headers::frame(&mut parts, !body.is_end_stream());
    if !headers::authority(&mut parts) {
        return refuse.with(
            StatusCode::BAD_REQUEST,
            "neither :authority nor Host names a host",
        );
    }
    let mut request = Request::from_parts(parts, body);
    let client = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
    match chosen.send(request, downstream).await {
        Ok(mut response) => {
            let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            match client {
                Some(client) if switched => upgrade::join(client, &mut response, &downstream.drain),
                // RFC 9110, section 15.2.2: it is only an answer to a request to switch.
                None if switched => {
                    return refuse.with(StatusCode::BAD_GATEWAY, "the upstream switched protocols unasked");
                }
                _ => {}
            }
            headers::strip(response.headers_mut(), switched);
            response
        }
        Err(Failed { why, delivered }) => {
            let mut response = refuse.with(StatusCode::SERVICE_UNAVAILABLE, &why);
            if !delivered && matches!(upstream, Upstream::Local(_)) {
                let connect = HeaderValue::from_static("connect");
                response.headers_mut().insert(reply::NOT_DELIVERED, connect);
            }
            response
        }
    }
}

/// Why there is no response.
struct Failed {
    why: String,
    /// Whether something of the request may have reached the application.
    delivered: bool,
}

/// Where one request goes.
enum Chosen {
    /// With the address that the client dialled.
    Cluster(Arc<Cluster>, SocketAddr),
    Endpoint(Arc<Endpoint>),
}

fn choose(upstream: &Upstream, request: &Parts) -> Result<Chosen, (StatusCode, String)> {
    let destination = match upstream {
        Upstream::Local(endpoint) => return Ok(Chosen::Endpoint(endpoint.clone())),
        Upstream::Mesh(destination) => destination,
    };
    let gone = || {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the service at {} is no more", destination.address()),
        )
    };
    let service = destination.service().ok_or_else(gone)?;
    let found = route::find(&service.http, request).ok_or_else(|| {
        let why = format!(
            "no route of {} matches {} {}",
            service.host,
            request.method,
            request.uri.path()
        );
        (StatusCode::NOT_FOUND, why)
    })?;
    let route = found.route;
    match route::choose(&route.backends, balance::random()).map(|backend| &backend.target) {
        Some(Target::Cluster(cluster)) => Ok(Chosen::Cluster(cluster.clone(), destination.address())),
        Some(Target::Unavailable(why)) => {
            Err((StatusCode::SERVICE_UNAVAILABLE, format!("{}: {why}", route.name)))
        }
        None => Err((
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{} has no destination", route.name),
        )),
    }
}

impl Chosen {
    /// The response, or why there is none. An endpoint that cannot be reached is not tried again, nor one whose proxy
    /// cannot reach its application: one that is about to end stops listening before the control plane hears of it.
    /// A kept connection that turns out to be closed is, since the endpoint is as good as before.
    async fn send(
        self,
        mut request: Request<Body>,
        downstream: &Downstream,
    ) -> Result<Response<Body>, Failed> {
        let broken = |why| Failed { why, delivered: true };
        let hashed = match &self {
            Self::Endpoint(_) => Hashed::default(),
            Self::Cluster(cluster, _) => cluster.hash(request.uri(), request.headers(), downstream.peer.ip()),
        };
        let mut tried = Vec::new();
        let mut last = None;
        let mut stale = 0;
        while tried.len() < ATTEMPTS {
            let endpoint = match &self {
                Self::Endpoint(endpoint) => endpoint.clone(),
                Self::Cluster(cluster, dialled) => {
                    let ask = Ask {
                        tried: &tried,
                        key: hashed.key,
                        original: Some(*dialled),
                    };
                    match cluster.pick(ask).await {
                        Some(endpoint) => endpoint,
                        None => break,
                    }
                }
            };
            let spare = Spare::new(&request);
            match pool::send(&endpoint, request, stale > 0).await {
                Ok(mut response) => {
                    let undelivered = response.headers_mut().remove(reply::NOT_DELIVERED).is_some();
                    match spare {
                        Some(spare) if undelivered && matches!(self, Self::Cluster(..)) => {
                            last = Some(format!("{}: its application does not answer", endpoint.address));
                            tried.push(endpoint.address);
                            request = spare.request();
                        }
                        _ => {
                            if let Some(cookie) = hashed.cookie {
                                response.headers_mut().append(SET_COOKIE, cookie);
                            }
                            return Ok(response);
                        }
                    }
                }
                Err(SendError::Connect(error, unsent)) => {
                    last = Some(format!("{}: cannot connect: {error}", endpoint.address));
                    tried.push(endpoint.address);
                    request = *unsent;
                }
                Err(SendError::Unsent(_, unsent)) if stale < ATTEMPTS => {
                    stale += 1;
                    request = *unsent;
                }
                Err(SendError::Broken { reused: true, error })
                    if stale < ATTEMPTS && closed_before_answer(&error) =>
                {
                    match spare {
                        Some(spare) => {
                            stale += 1;
                            request = spare.request();
                        }
                        None => {
                            return Err(broken(format!(
                                "{}: connection broke before the response: {error}",
                                endpoint.address
                            )));
                        }
                    }
                }
                Err(error) => return Err(broken(format!("{}: {error}", endpoint.address))),
            }
            if matches!(self, Self::Endpoint(_)) && !tried.is_empty() {
                break;
            }
        }
        let last = last.map(|last| format!(", the last: {last}")).unwrap_or_default();
        let why = match &self {
            Self::Endpoint(endpoint) => {
                format!("the application does not answer at {}{last}", endpoint.address)
            }
            Self::Cluster(cluster, _) if tried.is_empty() => {
                format!("{} has no ready endpoint", cluster.name())
            }
            Self::Cluster(cluster, _) => format!(
                "no endpoint of {} can be reached; {} tried{last}",
                cluster.name(),
                tried.len()
            ),
        };
        Err(Failed {
            why,
            delivered: false,
        })
    }
}

/// The server closed a kept connection while this request was on its way, or says that it has not begun it
/// (RFC 9113, section 8.7): nobody has read it, or will say so.
fn closed_before_answer(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return refused || error.is_go_away() && error.is_remote() || error.get_io().is_some_and(closed);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return closed(error);
        }
        source = error.source();
    }
    error.is_incomplete_message() || error.is_closed() || error.is_canceled()
}

fn closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}

/// What it takes to send a request once more: one without a body, whose method may be repeated (RFC 9110,
/// section 9.2.2), so that a server that closes idle connections never becomes an error for the client.
struct Spare(http::Method, http::Uri, http::Version, HeaderMap);

impl Spare {
    fn new(request: &Request<Body>) -> Option<Self> {
        let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
        let version = request.version();
        repeatable.then(|| {
            Self(
                request.method().clone(),
                request.uri().clone(),
                version,
                request.headers().clone(),
            )
        })
    }

    fn request(self) -> Request<Body> {
        let mut request = Request::new(Body::default());
        (
            *request.method_mut(),
            *request.uri_mut(),
            *request.version_mut(),
            *request.headers_mut(),
        ) = (self.0, self.1, self.2, self.3);
        request
    }
}
