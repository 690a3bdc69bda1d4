//! One request, from its head to the head of its response: find the route, and do what it says instead of or before
//! forwarding. Before it on the path: `admission`; after it: `onward`.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};

use super::access::{Flag, Record};
use super::asked::Asked;
use super::interim::Interims;
use super::limits::Limits;
use super::reply::{NOT_DELIVERED, Refuse};
use super::tries::To;
use super::{Downstream, Upstream, admission};
use crate::balance::{self, Endpoint};
use crate::body::Body;
use crate::mesh::Destination;
use crate::route::{self, Abort, Crossing, Fault, Found, Instead, Service};

/// Envoy's words.
const ABORTED: &str = "fault filter abort";

/// A request on its way.
pub(super) struct Passage<'a> {
    pub(super) parts: Parts,
    pub(super) body: Body,
    pub(super) refuse: Refuse,
    pub(super) downstream: &'a Downstream,
    /// Where the client is told of interim responses.
    pub(super) interims: Option<&'a Arc<Interims>>,
    pub(super) record: &'a mut Record,
}

/// Gives the response of the pod that the rules choose, or one of our own that says why there is none.
pub(super) async fn forward(
    request: Request<Body>,
    upstream: &Upstream,
    downstream: &Downstream,
    interims: Option<&Arc<Interims>>,
    record: &mut Record,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let refuse = Refuse::new(&parts);
    if let Err(refused) = admission::admit(&mut parts) {
        record.flag(Flag::DownstreamProtocolError);
        record.details(refused.details);
        let mut response = refuse.with(refused.status, refused.why);
        if parts.version != Version::HTTP_2 {
            // What follows on the connection may not be what it seems.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        return response;
    }
    record.request_id(admission::identify(&mut parts));
    let mut passage = Passage {
        parts,
        body,
        refuse,
        downstream,
        interims,
        record,
    };
    match upstream {
        Upstream::Local(endpoint) => passage.enter_application(endpoint).await,
        Upstream::Mesh(destination) => passage.by_rule(destination).await,
    }
}

impl Passage<'_> {
    async fn enter_application(&mut self, endpoint: &Arc<Endpoint>) -> Response<Body> {
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

    async fn by_rule(&mut self, destination: &Destination) -> Response<Body> {
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
        self.record.route(&found);
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

    async fn act(&mut self, found: Found<'_>, destination: &Destination) -> Response<Body> {
        if let Some(fault) = &found.route.fault
            && let Some(aborted) = self.go_wrong(fault).await
        {
            return aborted;
        }
        let Some(instead) = &found.route.instead else {
            return self.onward(found, destination).await;
        };
        self.record.details("direct_response");
        let asked = Asked::new(&self.parts, self.downstream);
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
                if !body.is_empty() {
                    let text = HeaderValue::from_static("text/plain");
                    response.headers_mut().insert(CONTENT_TYPE, text);
                }
                *response.body_mut() = Body::text(body.clone());
            }
        }
        asked.apply(&found.route.headers.response, &mut response);
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
}

fn no_route(service: &Service, request: &Parts) -> String {
    format!(
        "no route of {} matches {} {}",
        service.host,
        request.method,
        request.uri.path()
    )
}
