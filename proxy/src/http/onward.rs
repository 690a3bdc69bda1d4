//! Sends a request on: chooses the destination, rewrites, copies for mirrors, and gives the response what the route
//! says. Before it: `forward`; after it: `tries`.

use std::pin::pin;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as _;

use super::access::Flag;
use super::asked::Asked;
use super::failed::Failed;
use super::forward::Passage;
use super::limits::{Limits, within};
use super::reply::Refuse;
use super::tries::{Answer, To, Tries};
use super::{TIMEOUT, headers, mirror, upgrade};
use crate::balance::{self, Cluster};
use crate::body::{Body, Kept, timed, watched};
use crate::mesh::Destination;
use crate::route::{self, Backend, Found, Target};

const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");

impl Passage<'_> {
    pub(super) async fn onward(&mut self, found: Found<'_>, destination: &Destination) -> Response<Body> {
        let backend = route::choose(&found.route.backends, balance::random());
        let (backend, cluster) = match backend.map(|backend| (backend, &backend.target)) {
            Some((backend, Target::Cluster(cluster))) => (backend, cluster),
            Some((_, Target::Unavailable(why))) => {
                self.record.flag(Flag::NoClusterFound);
                let why = format!("{}: {why}", found.route.name);
                return self.refuse.with(StatusCode::SERVICE_UNAVAILABLE, &why);
            }
            None => {
                self.record.flag(Flag::NoClusterFound);
                let why = format!("{} has no destination", found.route.name);
                return self.refuse.with(StatusCode::SERVICE_UNAVAILABLE, &why);
            }
        };
        self.record.cluster(cluster.name());
        let limits = Limits::new(found.route, &mut self.parts.headers, self.refuse.is_grpc());
        let asked = Asked::new(&self.parts, self.downstream);
        self.rewrite(found, backend, &asked);
        let dialled = destination.address();
        if !found.route.mirrors.is_empty() && upgrade::wanted(&self.parts).is_none() {
            let facts = asked.facts(None);
            let metrics = &self.downstream.metrics;
            let body = std::mem::take(&mut self.body);
            self.body = mirror::mirror(found.route, &self.parts, body, &facts, metrics);
        }
        let response = self
            .send(To::Cluster(cluster, dialled), limits, Some(cluster))
            .await;
        let mut response = match response {
            Ok(response) => response,
            Err((_, response)) => return response,
        };
        for operations in [&backend.headers.response, &found.route.headers.response] {
            asked.apply(operations, &mut response);
        }
        response
    }

    /// The destination's header operations come before the route's, so that the route has the last word, as in Envoy.
    fn rewrite(&mut self, found: Found<'_>, backend: &Backend, asked: &Asked) {
        let rewrite = found.route.rewrite.as_ref();
        let path = rewrite.and_then(|rewrite| rewrite.path(&self.parts.uri, found.by));
        let mut authority = rewrite.and_then(|rewrite| rewrite.authority.clone());
        for operations in [&backend.headers.request, &found.route.headers.request] {
            if !operations.is_empty() {
                let set = operations.apply(&mut self.parts.headers, &asked.facts(None));
                authority = set.or(authority);
            }
        }
        if let Some(path) = path {
            let original = self.parts.uri.path_and_query().map(|path| path.as_str());
            if let Some(Ok(original)) = original.map(HeaderValue::from_str) {
                self.parts.headers.insert(ORIGINAL_PATH, original);
            }
            headers::set_path(&mut self.parts, path);
        }
        if let Some(authority) = authority {
            if let Ok(original) = HeaderValue::from_bytes(asked.facts(None).authority) {
                self.parts.headers.insert(ORIGINAL_HOST, original);
            }
            headers::set_authority(&mut self.parts, &authority);
        }
    }

    /// The endpoint's response, or ours with why there is none.
    pub(super) async fn send(
        &mut self,
        to: To<'_>,
        mut limits: Limits<'_>,
        cluster: Option<&Arc<Cluster>>,
    ) -> Result<Response<Body>, (Failed, Response<Body>)> {
        let Self {
            parts,
            body,
            refuse,
            downstream,
            interims,
            record,
        } = self;
        let mut body = std::mem::take(body);
        let wanted = upgrade::wanted(parts);
        headers::strip(&mut parts.headers, wanted == Some(upgrade::Wanted::Protocol));
        headers::frame(parts, !body.is_end_stream());
        if record.is_on() || limits.count_from_the_end() && !body.is_end_stream() {
            let (followed, progress) = watched(body);
            body = followed;
            record.received(progress.clone());
            limits.follow(progress);
        }
        let kept = (limits.retries.keeps_bodies() && !body.is_end_stream())
            .then(|| Kept::new(std::mem::take(&mut body)));
        if let Some(again) = kept.as_ref().and_then(Kept::again) {
            body = again;
        }
        let hashed = cluster.map(|cluster| cluster.hash(&parts.uri, &parts.headers, downstream.peer.ip()));
        let hashed = hashed.unwrap_or_default();
        let mut request = Request::from_parts(take_parts(parts), body);
        let client = wanted.map(|wanted| (wanted, hyper::upgrade::on(&mut request)));
        let mut passed = limits.timeout.map(|limit| limits.passed(limit));
        let mut tries = Tries::new(to, &limits, hashed.key, *interims);
        let sent = within(&mut passed, pin!(tries.send(&mut request, kept.as_ref(), record))).await;
        if let Some(kept) = &kept {
            kept.let_go();
        }
        let Answer { mut response, took } = match sent.unwrap_or_else(|| Err(tries.too_late())) {
            Ok(answer) => answer,
            Err(failed) => {
                record.flag(failed.flag);
                record.failure(&failed.why);
                let response = refusal(refuse, &failed);
                return Err((failed, response));
            }
        };
        record.details("via_upstream");
        record.service_time(took);
        let switched = match client {
            Some((wanted, client)) if wanted.is_granted(response.status()) => {
                upgrade::join(client, &mut response, &downstream.drain);
                true
            }
            // RFC 9110, section 15.2.2: it is only an answer to a request to switch.
            _ if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                record.flag(Flag::UpstreamProtocolError);
                let why = "the upstream switched protocols unasked";
                return Ok(refuse.with(StatusCode::BAD_GATEWAY, why));
            }
            _ => false,
        };
        let upgraded = switched && response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::strip(response.headers_mut(), upgraded);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let milliseconds = match milliseconds {
            0 => HeaderValue::from_static("0"),
            milliseconds => milliseconds.into(),
        };
        response.headers_mut().insert(SERVICE_TIME, milliseconds);
        if let Some(cookie) = hashed.cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(match passed {
            Some(passed) if !switched => response.map(|body| timed(body, passed)),
            _ => response,
        })
    }
}

/// A request's head, which is used no more where it was.
fn take_parts(parts: &mut Parts) -> Parts {
    let (blank, ()) = Request::new(()).into_parts();
    std::mem::replace(parts, blank)
}

fn refusal(refuse: &Refuse, failed: &Failed) -> Response<Body> {
    if failed.flag == Flag::UpstreamTimeout {
        return refuse.in_words(failed.status, TIMEOUT);
    }
    let mut response = refuse.with(failed.status, &failed.why);
    if failed.flag == Flag::UpstreamOverflow {
        let overloaded = HeaderValue::from_static("true");
        response.headers_mut().insert(OVERLOADED, overloaded);
    }
    response
}
