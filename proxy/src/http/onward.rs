//! Sends a request on: chooses the destination, rewrites, copies for mirrors, and gives the response what the route
//! says. Before it: `forward`; after it: `tries`.

use std::pin::pin;
use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderName, SET_COOKIE};
use http_body::Body as _;

use super::access::Flag;
use super::asked::Asked;
use super::failed::Failed;
use super::forward::Passage;
use super::limits::{Limits, within};
use super::repeat::Repeat;
use super::reply::Refuse;
use super::tries::{Answer, To, Tries};
use super::{TIMEOUT, headers, mirror, upgrade};
use crate::balance::{self, Cluster};
use crate::body::{Kept, Tunnel, timed, watched};
use crate::mesh::Destination;
use crate::message::{Request, Response};
use crate::route::{self, Backend, Found, Target};

const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");

impl Passage<'_> {
    pub(super) async fn onward(&mut self, found: Found<'_>, destination: &Destination) -> Response {
        let backend = route::choose(&found.route.backends, balance::random());
        let (backend, cluster) = match backend.map(|backend| (backend, &backend.target)) {
            Some((backend, Target::Cluster(cluster))) => (backend, cluster),
            Some((_, Target::Unavailable(why))) => {
                self.record.flag(Flag::NoClusterFound);
                let why = format!("{}: {why}", found.route.name);
                return self
                    .refuse
                    .with(self.request, StatusCode::SERVICE_UNAVAILABLE, &why);
            }
            None => {
                self.record.flag(Flag::NoClusterFound);
                let why = format!("{} has no destination", found.route.name);
                return self
                    .refuse
                    .with(self.request, StatusCode::SERVICE_UNAVAILABLE, &why);
            }
        };
        self.record.cluster(cluster.name());
        let limits = Limits::new(found.route, &mut self.request.headers, self.refuse.is_grpc());
        // Most routes change nothing.
        let changes = found.route.changes() || !backend.headers.are_empty();
        let asked = changes.then(|| Asked::new(self.request, self.downstream));
        if let Some(asked) = &asked {
            self.rewrite(found, backend, asked);
            if !found.route.mirrors.is_empty() && upgrade::wanted(self.request).is_none() {
                let facts = asked.facts(None);
                let metrics = &self.downstream.metrics;
                let body = std::mem::take(&mut self.body);
                self.body = mirror::mirror(found.route, self.request, body, &facts, metrics);
            }
        }
        let dialled = destination.address();
        let response = self
            .send(To::Cluster(cluster, dialled), limits, Some(cluster))
            .await;
        let mut response = match response {
            Ok(response) => response,
            Err((_, response)) => return response,
        };
        if let Some(asked) = &asked {
            for operations in [&backend.headers.response, &found.route.headers.response] {
                asked.apply(operations, &mut response);
            }
        }
        response
    }

    /// The destination's header operations come before the route's, so that the route has the last word, as in Envoy.
    fn rewrite(&mut self, found: Found<'_>, backend: &Backend, asked: &Asked) {
        let rewrite = found.route.rewrite.as_ref();
        let path = rewrite.and_then(|rewrite| rewrite.path(&self.request.uri, found.by));
        let mut authority = rewrite.and_then(|rewrite| rewrite.authority.clone());
        for operations in [&backend.headers.request, &found.route.headers.request] {
            if !operations.is_empty() {
                let set = operations.apply(&mut self.request.headers, &asked.facts(None));
                authority = set.or(authority);
            }
        }
        if let Some(path) = path {
            let original = self.request.uri.path_and_query().map(|path| path.as_str());
            if let Some(original) = original.map(str::to_owned) {
                self.request.headers.set(&ORIGINAL_PATH, original);
            }
            headers::set_path(self.request, path);
        }
        if let Some(authority) = authority {
            let original = asked.facts(None).authority;
            self.request.headers.set(&ORIGINAL_HOST, original);
            headers::set_authority(self.request, &authority);
        }
    }

    /// The endpoint's response, or ours with why there is none.
    pub(super) async fn send(
        &mut self,
        to: To<'_>,
        mut limits: Limits<'_>,
        cluster: Option<&Arc<Cluster>>,
    ) -> Result<Response, (Failed, Response)> {
        let Self {
            request,
            body,
            refuse,
            downstream,
            client,
            record,
        } = self;
        let mut body = std::mem::take(body);
        let wanted = upgrade::wanted(request);
        headers::strip(&mut request.headers, wanted == Some(upgrade::Wanted::Protocol));
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
        let repeat = match &kept {
            Some(kept) => Repeat::Kept(kept),
            None if body.is_end_stream() => Repeat::Empty,
            None => Repeat::Never,
        };
        let hashed =
            cluster.map(|cluster| cluster.hash(&request.uri, &request.headers, downstream.peer.ip()));
        let hashed = hashed.unwrap_or_default();
        let mut passed = limits.timeout.map(|limit| limits.passed(limit));
        let mut tries = Tries::new(to, &limits, hashed.key, client.interims);
        let sent = within(&mut passed, pin!(tries.send(request, body, repeat, record))).await;
        if let Some(kept) = &kept {
            kept.let_go();
        }
        let Answer { mut response, took } = match sent.unwrap_or_else(|| Err(tries.too_late())) {
            Ok(answer) => answer,
            Err(failed) => {
                record.flag(failed.flag);
                record.failure(&failed.why);
                let response = refusal(*refuse, request, &failed);
                return Err((failed, response));
            }
        };
        record.details("via_upstream");
        record.service_time(took);
        let switched = wanted.is_some_and(|wanted| wanted.is_granted(response.status));
        // RFC 9110, section 15.2.2: it is only an answer to a request to switch.
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !switched {
            record.flag(Flag::UpstreamProtocolError);
            let why = "the upstream switched protocols unasked";
            return Ok(refuse.with(request, StatusCode::BAD_GATEWAY, why));
        }
        // In HTTP/1 the client's connection is carried when the response has been written.
        if let Some(client) = client.upgrade.take().filter(|_| switched) {
            let (body, tunnel) = response.body.or_tunnel();
            response.body = body;
            if let Some(Tunnel::Http2(upstream)) = tunnel {
                upgrade::join(client, upstream, &downstream.drain);
            }
        }
        let upgraded = switched && response.status == StatusCode::SWITCHING_PROTOCOLS;
        headers::strip(&mut response.headers, upgraded);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match milliseconds {
            0 => response.headers.set(&SERVICE_TIME, "0"),
            milliseconds => response.headers.set(&SERVICE_TIME, milliseconds.to_string()),
        }
        if let Some(cookie) = hashed.cookie {
            response.headers.add(&SET_COOKIE, cookie);
        }
        if let Some(passed) = passed.filter(|_| !switched) {
            response.body = timed(response.body, passed);
        }
        Ok(response)
    }
}

fn refusal(refuse: Refuse, request: &Request, failed: &Failed) -> Response {
    if failed.flag == Flag::UpstreamTimeout {
        return refuse.in_words(request, failed.status, TIMEOUT);
    }
    let mut response = refuse.with(request, failed.status, &failed.why);
    if failed.flag == Flag::UpstreamOverflow {
        response.headers.set(&OVERLOADED, "true");
    }
    response
}
