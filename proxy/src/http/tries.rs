//! Sends one request: to an endpoint, and again if it failed and may be tried once more. Before it: `forward`; after
//! it: `balance` and `pool`.
//!
//! What nobody has read is sent elsewhere without being asked: the connection could not be made, the server says that
//! it has not begun, or a kept connection was just being closed. What may have reached an application is sent again only
//! if the route's policy says so.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::access::{Flag, Record};
use super::limits::Limits;
use super::reply::NOT_DELIVERED;
use super::spare::Spare;
use crate::balance::{self, Ask, Cluster, Endpoint, Permit};
use crate::body::{Body, Kept};
use crate::pool::{self, SendError};
use crate::route::Ended;
use crate::tcp::ATTEMPTS;

const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum To<'a> {
    /// To an endpoint of a cluster; the address is what the client dialled.
    Cluster(&'a Cluster, SocketAddr),
    /// To the pod's own application.
    Application(&'a Arc<Endpoint>),
}

/// A response, and how long the endpoint took for its head.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) took: Duration,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) status: StatusCode,
    pub(super) why: String,
    pub(super) flag: Flag,
    /// Whether something of the request may have reached an application.
    pub(super) delivered: bool,
}

impl Failed {
    /// The route's timeout has passed.
    pub(super) fn too_late() -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            why: super::TIMEOUT.to_owned(),
            flag: Flag::UpstreamTimeout,
            delivered: true,
        }
    }
}

/// The tries of one request.
pub(super) struct Tries<'a> {
    to: To<'a>,
    limits: &'a Limits<'a>,
    /// By which the cluster chooses; see [`Cluster::hash`].
    key: Option<u64>,
    begun: Instant,
    tried: Vec<SocketAddr>,
    count: u32,
    /// Of these, by the policy of retries.
    retried: u32,
    /// Kept connections that turned out to be closed.
    stale: usize,
    permit: Option<Permit>,
}

/// What became of one try.
enum Outcome {
    Answered(Response<Body>),
    /// To be sent once more on another connection to the same endpoint.
    Stale(Request<Body>),
    /// No connection; the request is whole.
    NotConnected(Request<Body>, String),
    /// Its proxy says that the application does not listen.
    NotDelivered,
    /// The server says that it has not begun.
    Refused(String),
    Broken(String),
    TimedOut,
    Overflow(String),
}

impl<'a> Tries<'a> {
    pub(super) fn new(to: To<'a>, limits: &'a Limits<'a>, key: Option<u64>) -> Self {
        Self {
            to,
            limits,
            key,
            begun: Instant::now(),
            tried: Vec::new(),
            count: 0,
            retried: 0,
            stale: 0,
            permit: None,
        }
    }

    /// The response, or why there is none. `kept` is the request's body, if more than one try may need it.
    pub(super) async fn send(
        mut self,
        mut request: Request<Body>,
        kept: Option<&Kept>,
        record: &mut Record,
    ) -> Result<Answer, Failed> {
        let mut endpoint = self.pick().await.ok_or_else(|| self.nowhere())?;
        loop {
            self.count += 1;
            self.tell(&mut request);
            record.upstream(endpoint.address);
            let spare = Spare::new(&request, kept);
            let begun = Instant::now();
            let outcome = self.one(&endpoint, request, spare.as_ref()).await;
            let took = begun.elapsed();
            let (failed, again) = match outcome {
                Outcome::Stale(again) => {
                    self.stale += 1;
                    request = again;
                    continue;
                }
                Outcome::Answered(response) => {
                    let ended = Ended::Answered(response.status(), response.headers());
                    let next = match &spare {
                        Some(spare) if spare.is_whole() => self.next(&endpoint, ended, record).await,
                        _ => None,
                    };
                    // What was kept may be lost while it waited.
                    match next.and_then(|next| Some((next, spare?.request()?))) {
                        Some((next, again)) => {
                            (endpoint, request) = (next, again);
                            continue;
                        }
                        None => return Ok(Answer { response, took }),
                    }
                }
                Outcome::NotConnected(again, why) => (
                    self.failed(Flag::UpstreamConnectionFailure, false, why),
                    Some(again),
                ),
                Outcome::NotDelivered => {
                    let why = "its application does not answer".to_owned();
                    let again = spare.and_then(Spare::request);
                    (self.failed(Flag::UpstreamConnectionFailure, false, why), again)
                }
                Outcome::Refused(why) => {
                    let again = spare.and_then(Spare::request);
                    (self.failed(Flag::UpstreamRemoteReset, false, why), again)
                }
                Outcome::Broken(why) => {
                    let wanted = self.limits.retries.wants(Ended::Reset);
                    let again = spare.filter(|_| wanted).and_then(Spare::request);
                    (self.failed(Flag::UpstreamConnectionTermination, true, why), again)
                }
                Outcome::TimedOut => {
                    let wanted = self.limits.retries.wants(Ended::TimedOut);
                    let again = spare.filter(|_| wanted).and_then(Spare::request);
                    (self.failed(Flag::UpstreamTimeout, true, String::new()), again)
                }
                Outcome::Overflow(why) => return Err(self.failed(Flag::UpstreamOverflow, false, why)),
            };
            let ended = match failed.flag {
                Flag::UpstreamConnectionFailure => Ended::NotConnected,
                Flag::UpstreamRemoteReset => Ended::Refused,
                Flag::UpstreamTimeout => Ended::TimedOut,
                _ => Ended::Reset,
            };
            let Some(again) = again else {
                return Err(self.at(&endpoint, failed));
            };
            match self.next(&endpoint, ended, record).await {
                Some(next) => (endpoint, request) = (next, again),
                None => return Err(self.at(&endpoint, failed)),
            }
        }
    }

    async fn one(&self, endpoint: &Arc<Endpoint>, request: Request<Body>, spare: Option<&Spare>) -> Outcome {
        let sent = pool::send(endpoint, request, self.stale > 0);
        let sent = match self.limits.retries.per_try {
            None => sent.await,
            Some(limit) => tokio::select! {
                sent = sent => sent,
                () = self.limits.after_request(limit) => {
                    endpoint.report(balance::Outcome::TimedOut);
                    return Outcome::TimedOut;
                }
            },
        };
        match sent {
            Ok(mut response) => {
                let undelivered = response.headers_mut().remove(NOT_DELIVERED).is_some();
                if undelivered && matches!(self.to, To::Cluster(..)) && spare.is_some() {
                    Outcome::NotDelivered
                } else {
                    Outcome::Answered(response)
                }
            }
            Err(SendError::Connect(error, unsent)) => {
                Outcome::NotConnected(*unsent, format!("cannot connect: {error}"))
            }
            Err(SendError::Unsent(error, unsent)) => {
                if self.stale < ATTEMPTS {
                    Outcome::Stale(*unsent)
                } else {
                    Outcome::NotConnected(*unsent, format!("connection closed: {error}"))
                }
            }
            Err(SendError::Broken { error, reused }) => {
                let again = spare.filter(|spare| {
                    reused && self.stale < ATTEMPTS && closed_before_answer(&error) && spare.is_idempotent()
                });
                if let Some(again) = again.and_then(|spare| spare.clone().request()) {
                    return Outcome::Stale(again);
                }
                let why = format!("connection broke before the response: {error}");
                if refused(&error) {
                    Outcome::Refused(why)
                } else {
                    Outcome::Broken(why)
                }
            }
            Err(SendError::Overflow(overflow)) => Outcome::Overflow(overflow.to_string()),
        }
    }

    /// Where to try again, or `None` if this was the last time. What nobody has read goes to another endpoint at once.
    async fn next(
        &mut self,
        last: &Arc<Endpoint>,
        ended: Ended<'_>,
        record: &mut Record,
    ) -> Option<Arc<Endpoint>> {
        let retries = &self.limits.retries;
        let To::Cluster(cluster, _) = self.to else {
            return None;
        };
        if retries.attempts == 0 {
            return None;
        }
        let unread = matches!(ended, Ended::NotConnected | Ended::Refused);
        if unread || !retries.same_endpoints {
            self.tried.push(last.address);
        }
        if unread
            && (self.count as usize) < ATTEMPTS
            && let Some(other) = self.pick().await
        {
            return Some(other);
        }
        if !retries.wants(ended) {
            return None;
        }
        if self.retried >= retries.attempts {
            record.flag(Flag::UpstreamRetryLimitExceeded);
            return None;
        }
        let Ok(permit) = cluster.retry() else {
            record.flag(Flag::UpstreamOverflow);
            return None;
        };
        self.permit = Some(permit);
        self.retried += 1;
        tokio::time::sleep(retries.pause(self.retried, balance::random())).await;
        if let Some(other) = self.pick().await {
            return Some(other);
        }
        self.tried.clear();
        self.pick().await
    }

    async fn pick(&self) -> Option<Arc<Endpoint>> {
        match self.to {
            To::Application(endpoint) => Some(endpoint.clone()),
            To::Cluster(cluster, dialled) => {
                let ask = Ask {
                    tried: &self.tried,
                    key: self.key,
                    original: Some(dialled),
                };
                cluster.pick(ask).await
            }
        }
    }

    /// Says to other pods which try this is, and how long it may take.
    fn tell(&self, request: &mut Request<Body>) {
        if !matches!(self.to, To::Cluster(..)) {
            return;
        }
        let headers = request.headers_mut();
        headers.insert(ATTEMPT_COUNT, self.count.into());
        let left = self
            .limits
            .timeout
            .map(|limit| limit.saturating_sub(self.begun.elapsed()));
        let expected = match (left, self.limits.retries.per_try) {
            (Some(left), Some(per_try)) => Some(left.min(per_try)),
            (left, per_try) => left.or(per_try),
        };
        if let Some(expected) = expected {
            let milliseconds = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
            headers.insert(EXPECTED_TIMEOUT, HeaderValue::from(milliseconds));
        }
    }

    fn failed(&self, flag: Flag, delivered: bool, why: String) -> Failed {
        let status = match flag {
            Flag::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Failed {
            status,
            why,
            flag,
            delivered,
        }
    }

    /// The same with where it happened.
    fn at(&self, endpoint: &Endpoint, failed: Failed) -> Failed {
        let (address, last) = (endpoint.address, &failed.why);
        let why = match (self.to, failed.flag) {
            (_, Flag::UpstreamTimeout) => super::TIMEOUT.to_owned(),
            (To::Application(_), Flag::UpstreamConnectionFailure) => {
                format!("the application does not answer at {address}: {last}")
            }
            (To::Cluster(cluster, _), Flag::UpstreamConnectionFailure) => format!(
                "no endpoint of {} can be reached; tried {} times, the last: {address}: {last}",
                cluster.name(),
                self.count
            ),
            _ => format!("{address}: {last}"),
        };
        Failed { why, ..failed }
    }

    fn nowhere(&self) -> Failed {
        let why = match self.to {
            To::Cluster(cluster, _) => format!("{} has no ready endpoint", cluster.name()),
            To::Application(endpoint) => format!("nothing is at {}", endpoint.address),
        };
        self.failed(Flag::NoHealthyUpstream, false, why)
    }
}

/// The server closed a kept connection while this request was on its way, or says that it has not begun it:
/// nobody has read it, or will say so.
fn closed_before_answer(error: &hyper::Error) -> bool {
    if refused(error) {
        return true;
    }
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.get_io().is_some_and(closed);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return closed(error);
        }
        source = error.source();
    }
    error.is_incomplete_message() || error.is_closed() || error.is_canceled()
}

/// HTTP/2's ways to say that a request has not been begun (RFC 9113, section 8.7).
fn refused(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && error.is_remote();
        }
        source = error.source();
    }
    false
}

fn closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}
