//! One request, from its head to the head of its response: find the route, and do what it says instead of or before
//! forwarding. Before it on the path: `admission`; after it: `onward`.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{StatusCode, Version};
use hyper::upgrade::OnUpgrade;

use super::access::{Flag, Record};
use super::asked::Asked;
use super::limits::Limits;
use super::reply::{NOT_DELIVERED, Refuse};
use super::tries::To;
use super::{Downstream, Upstream, admission};
use crate::balance::{self, Endpoint};
use crate::body::Body;
use crate::http1::Interims;
use crate::mesh::Destination;
use crate::message::{Request, Response};
use crate::route::{self, Abort, Crossing, Fault, Found, Instead, Service};

/// Envoy's words.
const ABORTED: &str = "fault filter abort";

/// A request on its way.
pub(super) struct Passage<'a> {
    pub(super) request: &'a mut Request,
    pub(super) body: Body,
    pub(super) refuse: Refuse,
    pub(super) downstream: &'a Downstream,
    pub(super) client: Means<'a>,
    pub(super) record: &'a mut Record,
}

/// What a client can be told besides a response.
#[derive(Default)]
pub(super) struct Means<'a> {
    /// Where it is told of interim responses.
    pub(super) interims: Option<&'a Interims>,
    /// Its stream of HTTP/2, if it has asked for a tunnel.
    pub(super) upgrade: Option<OnUpgrade>,
}

/// Gives the response of the pod that the rules choose, or one of our own that says why there is none.
pub(super) async fn forward(
    request: &mut Request,
    body: Body,
    upstream: &Upstream,
    downstream: &Downstream,
    client: Means<'_>,
    record: &mut Record,
) -> Response {
    let refuse = Refuse::new(request);
    if let Err(refused) = admission::admit(request) {
        record.flag(Flag::DownstreamProtocolError);
        record.details(refused.details);
        let mut response = refuse.with(request, refused.status, refused.why);
        if request.version != Version::HTTP_2 {
            // What follows on the connection may not be what it seems.
            response.headers.set(&CONNECTION, "close");
        }
        return response;
    }
    record.request_id(admission::identify(request));
    let mut passage = Passage {
        request,
        body,
        refuse,
        downstream,
        client,
        record,
    };
    match upstream {
        Upstream::Local(endpoint) => passage.enter_application(endpoint).await,
        Upstream::Mesh(destination) => passage.by_rule(destination).await,
    }
}

impl Passage<'_> {
    async fn enter_application(&mut self, endpoint: &Arc<Endpoint>) -> Response {
        let limits = Limits::none();
        let sent = self.send(To::Application(endpoint), limits, None).await;
        sent.unwrap_or_else(|(failed, mut response)| {
            if !failed.delivered {
                response.headers.set(&NOT_DELIVERED, "connect");
            }
            response
        })
    }

    async fn by_rule(&mut self, destination: &Destination) -> Response {
        let Some(service) = destination.service() else {
            self.record.flag(Flag::NoClusterFound);
            let why = format!("the service at {} is no more", destination.address());
            return self
                .refuse
                .with(self.request, StatusCode::SERVICE_UNAVAILABLE, &why);
        };
        let Some(found) = route::find(&service.http, self.request) else {
            self.record.flag(Flag::NoRouteFound);
            self.record.details("route_not_found");
            return self.refuse.with(
                self.request,
                StatusCode::NOT_FOUND,
                &no_route(&service, self.request),
            );
        };
        self.record.route(&found);
        let Some(cors) = &found.route.cors else {
            return self.act(found, destination).await;
        };
        let crossing = cors.crossing(self.request);
        let mut response = match crossing {
            Crossing::Preflight(_) | Crossing::UnmatchedPreflight => {
                self.record.details("cors_response");
                Response::new(Body::default())
            }
            Crossing::None | Crossing::Allowed(_) => self.act(found, destination).await,
        };
        cors.permit(&crossing, &mut response.headers);
        response
    }

    async fn act(&mut self, found: Found<'_>, destination: &Destination) -> Response {
        if let Some(fault) = &found.route.fault
            && let Some(aborted) = self.go_wrong(fault).await
        {
            return aborted;
        }
        let Some(instead) = &found.route.instead else {
            return self.onward(found, destination).await;
        };
        self.record.details("direct_response");
        let asked = Asked::new(self.request, self.downstream);
        let mut response = Response::new(Body::default());
        match instead {
            Instead::Redirect(redirect) => {
                response.status = redirect.status;
                let location = redirect.location(self.request, found.by);
                match HeaderValue::try_from(location) {
                    Ok(location) => response.headers.set(&LOCATION, location),
                    Err(_) => {
                        return self.refuse.with(
                            self.request,
                            StatusCode::BAD_REQUEST,
                            "the authority is not one",
                        );
                    }
                }
            }
            Instead::Response(status, body) => {
                response.status = *status;
                if !body.is_empty() {
                    response.headers.set(&CONTENT_TYPE, "text/plain");
                }
                response.body = Body::text(body.clone());
            }
        }
        asked.apply(&found.route.headers.response, &mut response);
        response
    }

    /// Delays the request, and gives its end if it is to have one here.
    async fn go_wrong(&mut self, fault: &Fault) -> Option<Response> {
        if fault.delays(balance::random()) {
            self.record.flag(Flag::DelayInjected);
            tokio::time::sleep(fault.delay_for).await;
        }
        if !fault.aborts(balance::random()) {
            return None;
        }
        self.record.flag(Flag::FaultInjected);
        Some(match fault.abort_with {
            Abort::Http(status) => self.refuse.in_words(self.request, status, ABORTED),
            Abort::Grpc(code) => self.refuse.with_grpc(code, ABORTED),
        })
    }
}

fn no_route(service: &Service, request: &Request) -> String {
    format!(
        "no route of {} matches {} {}",
        service.host,
        request.method,
        request.uri.path()
    )
}
