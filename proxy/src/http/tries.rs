//! Sends one request: to an endpoint, and again if it failed and may be tried once more. Before it: `forward`; after
//! it: `balance` and `pool`.
//!
//! What nobody has read is sent elsewhere without being asked: the connection could not be made, the server says that
//! it has not begun, or a kept connection was just being closed. What may have reached an application is sent again only
//! if the route's policy says so.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Request, Response};
use tokio::time::Instant;

use super::access::{Flag, Record};
use super::failed::Failed;
use super::interim::Interims;
use super::limits::{Limits, within};
use super::outcome::Outcome;
use super::spare::Spare;
use crate::balance::{self, Ask, Cluster, Endpoint, Permit};
use crate::body::{Body, Kept};
use crate::pool;
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

/// The tries of one request.
pub(super) struct Tries<'a> {
    to: To<'a>,
    limits: &'a Limits<'a>,
    /// By which the cluster chooses; see [`Cluster::hash`].
    key: Option<u64>,
    /// Where the client is told of interim responses.
    interims: Option<&'a Arc<Interims>>,
    begun: Instant,
    tried: Vec<SocketAddr>,
    /// Whose localities retries leave: every endpoint so far, if the policy wants it.
    been: Vec<SocketAddr>,
    count: u32,
    /// Of these, by the policy of retries.
    retried: u32,
    /// Kept connections that turned out to be closed.
    stale: usize,
    permit: Option<Permit>,
    /// Whose response is waited for.
    at: Option<Arc<Endpoint>>,
}

impl<'a> Tries<'a> {
    pub(super) fn new(
        to: To<'a>,
        limits: &'a Limits<'a>,
        key: Option<u64>,
        interims: Option<&'a Arc<Interims>>,
    ) -> Self {
        Self {
            to,
            limits,
            key,
            interims,
            begun: Instant::now(),
            tried: Vec::new(),
            been: Vec::new(),
            count: 1,
            retried: 0,
            stale: 0,
            permit: None,
            at: None,
        }
    }

    /// The response, or why there is none. Each try takes the request out of its place, and the next puts it there again.
    /// `kept` is the request's body, if more than one try may need it.
    pub(super) async fn send(
        &mut self,
        request: &mut Request<Body>,
        kept: Option<&Kept>,
        record: &mut Record,
    ) -> Result<Answer, Failed> {
        let mut endpoint = self.pick().await.ok_or_else(|| Failed::nowhere(self.to))?;
        loop {
            self.tell(request);
            record.upstream(endpoint.address);
            self.at = Some(endpoint.clone());
            let spare = Spare::new(request, kept);
            if let Some(interims) = self.interims {
                interims.follow(request).await;
            }
            let begun = Instant::now();
            let outcome = self.one(&endpoint, request, spare.as_ref()).await;
            let took = begun.elapsed();
            self.at = None;
            let (failed, again) = match outcome {
                Outcome::Stale => {
                    self.stale += 1;
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
                            (endpoint, *request) = (next, again);
                            self.count += 1;
                            continue;
                        }
                        None => return Ok(Answer { response, took }),
                    }
                }
                Outcome::NotConnected(why) => (Failed::not_connected(why), Some(std::mem::take(request))),
                Outcome::NotDelivered => {
                    let failed = Failed::not_connected("its application does not answer".into());
                    (failed, spare.and_then(Spare::request))
                }
                Outcome::Refused(why) => (Failed::refused(why), spare.and_then(Spare::request)),
                Outcome::Broken(why) => (Failed::broken(why), self.again(Ended::Reset, spare)),
                Outcome::Malformed(why) => (Failed::malformed(why), self.again(Ended::Reset, spare)),
                Outcome::TimedOut => (Failed::too_late(), self.again(Ended::TimedOut, spare)),
                Outcome::BrokenRequest(why) => return Err(Failed::by_client(why)),
                Outcome::Overflow(why) => return Err(Failed::overflow(why)),
            };
            let next = match again {
                Some(again) => self
                    .next(&endpoint, failed.ended(), record)
                    .await
                    .zip(Some(again)),
                None => None,
            };
            let Some((next, again)) = next else {
                return Err(failed.at(self.to, endpoint.address, self.count));
            };
            (endpoint, *request) = (next, again);
            self.count += 1;
        }
    }

    /// The time for all of the tries has passed, and whoever was asked last did not answer in it.
    pub(super) fn too_late(&self) -> Failed {
        if let Some(endpoint) = &self.at {
            endpoint.report(balance::Outcome::TimedOut);
        }
        Failed::too_late()
    }

    /// The request once more, if the policy wants it although an application may have seen it.
    fn again(&self, ended: Ended<'_>, spare: Option<Spare>) -> Option<Request<Body>> {
        spare
            .filter(|_| self.limits.retries.wants(ended))
            .and_then(Spare::request)
    }

    async fn one(
        &self,
        endpoint: &Arc<Endpoint>,
        request: &mut Request<Body>,
        spare: Option<&Spare>,
    ) -> Outcome {
        let mut passed = self.limits.retries.per_try.map(|limit| self.limits.passed(limit));
        let sent = {
            let sending = pin!(pool::send(endpoint, request, self.stale > 0));
            within(&mut passed, sending).await
        };
        let Some(sent) = sent else {
            endpoint.report(balance::Outcome::TimedOut);
            return Outcome::TimedOut;
        };
        let may_be_stale = self.stale < ATTEMPTS;
        match self.to {
            To::Cluster(..) => Outcome::at_another_pod(sent, request, spare, may_be_stale),
            To::Application(_) => Outcome::of(sent, request, spare, may_be_stale),
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
        if retries.remote_localities {
            self.been.push(last.address);
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
                    // As Istio has it, a locality gets two tries before the next one is used.
                    leaves: &self.been[..self.been.len() / 2 * 2],
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
        let count = match self.count {
            1 => HeaderValue::from_static("1"),
            count => count.into(),
        };
        headers.insert(ATTEMPT_COUNT, count);
        let left = self.limits.timeout.map(|limit| match self.count {
            1 => limit,
            _ => limit.saturating_sub(self.begun.elapsed()),
        });
        let expected = match (left, self.limits.retries.per_try) {
            (Some(left), Some(per_try)) => Some(left.min(per_try)),
            (left, per_try) => left.or(per_try),
        };
        if let Some(expected) = expected {
            let milliseconds = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
            headers.insert(EXPECTED_TIMEOUT, HeaderValue::from(milliseconds));
        }
    }
}
