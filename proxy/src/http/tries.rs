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

use http::header::HeaderName;
use tokio::time::Instant;

use super::access::{Flag, Record};
use super::failed::Failed;
use super::limits::{Limits, within};
use super::outcome::Outcome;
use super::repeat::Repeat;
use crate::balance::{self, Ask, Cluster, Endpoint, Permit};
use crate::body::Body;
use crate::http1::Interims;
use crate::message::{Request, Response};
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
    pub(super) response: Response,
    pub(super) took: Duration,
}

/// The tries of one request.
pub(super) struct Tries<'a> {
    to: To<'a>,
    limits: &'a Limits<'a>,
    /// By which the cluster chooses; see [`Cluster::hash`].
    key: Option<u64>,
    /// Where the client is told of interim responses.
    interims: Option<&'a Interims>,
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
        interims: Option<&'a Interims>,
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

    /// The response, or why there is none. `repeat` is what further tries send, besides the head.
    pub(super) async fn send(
        &mut self,
        request: &mut Request,
        mut body: Body,
        repeat: Repeat<'_>,
        record: &mut Record,
    ) -> Result<Answer, Failed> {
        let mut endpoint = self.pick().await.ok_or_else(|| Failed::nowhere(self.to))?;
        loop {
            self.tell(request);
            record.upstream(endpoint.address);
            self.at = Some(endpoint.clone());
            let begun = match (self.count, self.stale) {
                (1, 0) => self.begun,
                _ => Instant::now(),
            };
            let outcome = self.one(&endpoint, request, &mut body, &repeat).await;
            let took = begun.elapsed();
            self.at = None;
            let (failed, again) = match outcome {
                Outcome::Stale => {
                    self.stale += 1;
                    continue;
                }
                Outcome::Answered(response) => {
                    let ended = Ended::Answered(response.status, &response.headers);
                    let next = match repeat.is_whole() {
                        true => self.next(&endpoint, ended, record).await,
                        false => None,
                    };
                    // What was kept may be lost while it waited.
                    match next.and_then(|next| Some((next, repeat.body()?))) {
                        Some((next, again)) => {
                            (endpoint, body) = (next, again);
                            self.count += 1;
                            continue;
                        }
                        None => return Ok(Answer { response, took }),
                    }
                }
                Outcome::NotConnected(why) => (Failed::not_connected(why), Some(std::mem::take(&mut body))),
                Outcome::NotDelivered => {
                    let failed = Failed::not_connected("its application does not answer".into());
                    (failed, repeat.body())
                }
                Outcome::Refused(why) => (Failed::refused(why), repeat.body()),
                Outcome::Broken(why) => (Failed::broken(why), self.again(Ended::Reset, &repeat)),
                Outcome::Malformed(why) => (Failed::malformed(why), self.again(Ended::Reset, &repeat)),
                Outcome::TimedOut => (Failed::too_late(), self.again(Ended::TimedOut, &repeat)),
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
            (endpoint, body) = (next, again);
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

    /// The body once more, if the policy wants that although an application may have seen the request.
    fn again(&self, ended: Ended<'_>, repeat: &Repeat<'_>) -> Option<Body> {
        self.limits.retries.wants(ended).then(|| repeat.body()).flatten()
    }

    async fn one(
        &self,
        endpoint: &Arc<Endpoint>,
        request: &Request,
        body: &mut Body,
        repeat: &Repeat<'_>,
    ) -> Outcome {
        let mut passed = self.limits.retries.per_try.map(|limit| self.limits.passed(limit));
        let sent = {
            let sending = pin!(pool::send(endpoint, request, body, self.stale > 0, self.interims));
            within(&mut passed, sending).await
        };
        let Some(sent) = sent else {
            endpoint.report(balance::Outcome::TimedOut);
            return Outcome::TimedOut;
        };
        let may_be_stale = self.stale < ATTEMPTS;
        match self.to {
            To::Cluster(..) => Outcome::at_another_pod(sent, request, repeat, may_be_stale),
            To::Application(_) => Outcome::of(sent, request, repeat, may_be_stale),
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
    fn tell(&self, request: &mut Request) {
        if !matches!(self.to, To::Cluster(..)) {
            return;
        }
        let headers = &mut request.headers;
        match self.count {
            1 => headers.set(&ATTEMPT_COUNT, "1"),
            count => headers.set(&ATTEMPT_COUNT, count.to_string()),
        }
        let left = self.limits.timeout.map(|limit| match self.count {
            1 => limit,
            _ => limit.saturating_sub(self.begun.elapsed()),
        });
        let expected = match (left, self.limits.retries.per_try) {
            (Some(left), Some(per_try)) => Some(left.min(per_try)),
            (left, per_try) => left.or(per_try),
        };
        if let Some(expected) = expected {
            headers.set(&EXPECTED_TIMEOUT, expected.as_millis().to_string());
        }
    }
}
