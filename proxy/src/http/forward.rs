//! One request, from its head to the head of its response: find the route, do what it says instead of or before
//! forwarding, rewrite, and send. Before it on the path: `admission`; after it: `tries`.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::header::{HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as _;

use super::access::{Flag, Record};
use super::limits::Limits;
use super::reply::{NOT_DELIVERED, Refuse};
use super::tries::{Answer, Failed, To, Tries};
use super::{Downstream, TIMEOUT, Upstream, admission, headers, mirror, upgrade};
use crate::balance::{self, Cluster, Endpoint};
use crate::body::{Body, Kept, timed, watched};
use crate::mesh::Destination;
use crate::route::{self, Abort, Backend, Crossing, Fault, Found, Instead, Service, Target};

const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
/// Envoy's words.
const ABORTED: &str = "fault filter abort";

/// A request on its way.
struct Passage<'a> {
    parts: Parts,
    body: Body,
    refuse: Refuse,
    downstream: &'a Downstream,
    record: &'a mut Record,
}

/// Gives the response of the pod that the rules choose, or one of our own that says why there is none.
pub(super) async fn forward(
    request: Request<Body>,
    upstream: &Upstream,
    downstream: &Downstream,
    record: &mut Record,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let refuse = Refuse::new(&parts);
    if let Err((status, why)) = admission::admit(&mut parts) {
        record.flag(Flag::DownstreamProtocolError);
        return refuse.with(status, why);
    }
    record.request_id(admission::identify(&mut parts));
    let passage = Passage {
        parts,
        body,
        refuse,
        downstream,
        record,
    };
    match upstream {
        Upstream::Local(endpoint) => passage.into_application(endpoint).await,
        Upstream::Mesh(destination) => passage.by_rule(destination).await,
    }
}

impl Passage<'_> {
    async fn into_application(self, endpoint: &Arc<Endpoint>) -> Response<Body> {
        let limits = Limits::none();
        let sent = self.send(To::Application(endpoint), limits, None).await;
        sent.unwrap_or_else(|(failed, mut response)| {
            if !failed.delivered {
                let connect = HeaderValue::from_static("connect");
                response.headers_mut().insert(NOT_DELIVERED, connect);
            }
            response
        })
    }

    async fn by_rule(self, destination: &Destination) -> Response<Body> {
        let Some(service) = destination.service() else {
            self.record.flag(Flag::NoClusterFound);
            let why = format!("the service at {} is no more", destination.address());
            return self.refuse.with(StatusCode::SERVICE_UNAVAILABLE, &why);
        };
        let Some(found) = route::find(&service.http, &self.parts) else {
            self.record.flag(Flag::NoRouteFound);
            self.record.details("route_not_found");
            return self
                .refuse
                .with(StatusCode::NOT_FOUND, &no_route(&service, &self.parts));
        };
        self.record.route(&found.route.name);
        let Some(cors) = &found.route.cors else {
            return self.act(found, destination).await;
        };
        let crossing = cors.crossing(&self.parts);
        let mut response = match crossing {
            Crossing::Preflight(_) | Crossing::UnmatchedPreflight => {
                self.record.details("cors_response");
                Response::default()
            }
            Crossing::None | Crossing::Allowed(_) => self.act(found, destination).await,
        };
        cors.permit(&crossing, response.headers_mut());
        response
    }

    async fn act(mut self, found: Found<'_>, destination: &Destination) -> Response<Body> {
        if let Some(fault) = &found.route.fault
            && let Some(aborted) = self.go_wrong(fault).await
        {
            return aborted;
        }
        let Some(instead) = &found.route.instead else {
            return self.onward(found, destination).await;
        };
        self.record.details("direct_response");
        let mut response = Response::default();
        match instead {
            Instead::Redirect(redirect) => {
                *response.status_mut() = redirect.status;
                let location = redirect.location(&self.parts, found.by);
                match HeaderValue::try_from(location) {
                    Ok(location) => response.headers_mut().insert(LOCATION, location),
                    Err(_) => {
                        return self
                            .refuse
                            .with(StatusCode::BAD_REQUEST, "the authority is not one");
                    }
                };
            }
            Instead::Response(status, body) => {
                *response.status_mut() = *status;
                *response.body_mut() = Body::text(body.clone());
            }
        }
        found.route.headers.response.apply(response.headers_mut());
        response
    }

    /// Delays the request, and gives its end if it is to have one here.
    async fn go_wrong(&mut self, fault: &Fault) -> Option<Response<Body>> {
        if fault.delays(balance::random()) {
            self.record.flag(Flag::DelayInjected);
            tokio::time::sleep(fault.delay_for).await;
        }
        if !fault.aborts(balance::random()) {
            return None;
        }
        self.record.flag(Flag::FaultInjected);
        Some(match fault.abort_with {
            Abort::Http(status) => self.refuse.in_words(status, ABORTED),
            Abort::Grpc(code) => self.refuse.with_grpc(code, ABORTED),
        })
    }

    async fn onward(mut self, found: Found<'_>, destination: &Destination) -> Response<Body> {
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
        let limits = Limits::new(found.route, &mut self.parts.headers);
        self.rewrite(found, backend);
        let dialled = destination.address();
        if !found.route.mirrors.is_empty() && upgrade::wanted(&self.parts).is_none() {
            let source = self.downstream.peer.ip();
            self.body = mirror::mirror(found.route, &self.parts, self.body, dialled, source);
        }
        let response = self
            .send(To::Cluster(cluster, dialled), limits, Some(cluster))
            .await;
        let mut response = match response {
            Ok(response) => response,
            Err((_, response)) => return response,
        };
        backend.headers.response.apply(response.headers_mut());
        found.route.headers.response.apply(response.headers_mut());
        response
    }

    /// The destination's header operations come before the route's, so that the route has the last word, as in Envoy.
    fn rewrite(&mut self, found: Found<'_>, backend: &Backend) {
        let rewrite = found.route.rewrite.as_ref();
        let path = rewrite.and_then(|rewrite| rewrite.path(&self.parts.uri, found.by));
        let mut authority = rewrite.and_then(|rewrite| rewrite.authority.as_ref());
        for operations in [&backend.headers.request, &found.route.headers.request] {
            operations.apply(&mut self.parts.headers);
            authority = operations.authority().or(authority);
        }
        if let Some(path) = path {
            let original = self.parts.uri.path_and_query().map(|path| path.as_str());
            if let Some(Ok(original)) = original.map(HeaderValue::from_str) {
                self.parts.headers.insert(ORIGINAL_PATH, original);
            }
            headers::set_path(&mut self.parts, path);
        }
        if let Some(authority) = authority {
            if let Ok(original) = HeaderValue::from_bytes(route::authority(&self.parts)) {
                self.parts.headers.insert(ORIGINAL_HOST, original);
            }
            headers::set_authority(&mut self.parts, authority);
        }
    }

    /// The endpoint's response, or ours with why there is none.
    async fn send(
        self,
        to: To<'_>,
        mut limits: Limits<'_>,
        cluster: Option<&Arc<Cluster>>,
    ) -> Result<Response<Body>, (Failed, Response<Body>)> {
        let Self {
            mut parts,
            mut body,
            refuse,
            downstream,
            record,
        } = self;
        let wanted = upgrade::wanted(&parts);
        headers::strip(&mut parts.headers, wanted == Some(upgrade::Wanted::Protocol));
        headers::frame(&mut parts, !body.is_end_stream());
        if record.is_on() || limits.count_from_the_end() {
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
        let mut request = Request::from_parts(parts, body);
        let client = wanted.map(|wanted| (wanted, hyper::upgrade::on(&mut request)));
        let mut passed: Option<BoxFuture<'static, ()>> = limits
            .timeout
            .map(|limit| Box::pin(limits.after_request(limit)) as _);
        let tries = Tries::new(to, &limits, hashed.key);
        let sent = within(&mut passed, tries.send(request, kept.as_ref(), record)).await;
        let Answer { mut response, took } = match sent.unwrap_or_else(|| Err(Failed::too_late())) {
            Ok(answer) => answer,
            Err(failed) => {
                record.flag(failed.flag);
                record.failure(&failed.why);
                let response = refusal(&refuse, &failed);
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
        response.headers_mut().insert(SERVICE_TIME, milliseconds.into());
        if let Some(cookie) = hashed.cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(match passed {
            Some(passed) if !switched => response.map(|body| timed(body, passed)),
            _ => response,
        })
    }
}

/// What the work gives, or `None` if the time has passed before.
async fn within<T>(passed: &mut Option<BoxFuture<'static, ()>>, work: impl Future<Output = T>) -> Option<T> {
    match passed {
        None => Some(work.await),
        Some(passed) => tokio::select! {
            biased;
            done = work => Some(done),
            () = passed => None,
        },
    }
}

fn no_route(service: &Service, request: &Parts) -> String {
    format!(
        "no route of {} matches {} {}",
        service.host,
        request.method,
        request.uri.path()
    )
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
