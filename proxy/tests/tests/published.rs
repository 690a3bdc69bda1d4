//! Short ways to write what the control plane publishes.

use std::net::SocketAddr;

use outrigger_proxy::protocol::mesh::string_match::Kind;
use outrigger_proxy::protocol::mesh::{
    Backend, Endpoint, Endpoints, HeaderMatch, HttpMatch, HttpRoute, Protocol, Service, StringMatch,
    TrafficPolicy,
};

pub(crate) fn endpoints(addresses: &[SocketAddr]) -> Endpoints {
    let endpoint = |address: &SocketAddr| Endpoint {
        address: address.ip().to_string(),
        port: address.port().into(),
        ..Default::default()
    };
    Endpoints {
        endpoints: addresses.iter().map(endpoint).collect(),
    }
}

/// A choice that leads to the endpoints of a name.
pub(crate) fn to(endpoints: &str, weight: u32) -> Backend {
    Backend {
        endpoints: endpoints.into(),
        weight,
        ..Default::default()
    }
}

/// A choice that leads nowhere.
pub(crate) fn unavailable(why: &str) -> Backend {
    Backend {
        unavailable: why.into(),
        ..Default::default()
    }
}

pub(crate) fn route(name: &str, matches: Vec<HttpMatch>, backends: Vec<Backend>) -> HttpRoute {
    HttpRoute {
        name: name.into(),
        matches,
        backends,
        ..Default::default()
    }
}

pub(crate) fn header(name: &str, value: &str) -> HttpMatch {
    let kind = Some(Kind::Exact(value.into()));
    HttpMatch {
        uri: None,
        headers: vec![HeaderMatch {
            name: name.into(),
            value: Some(StringMatch { kind }),
        }],
        ..Default::default()
    }
}

pub(crate) fn path(kind: Kind) -> HttpMatch {
    HttpMatch {
        uri: Some(StringMatch { kind: Some(kind) }),
        headers: vec![],
        ..Default::default()
    }
}

pub(crate) fn http(routes: Vec<HttpRoute>) -> Service {
    Service {
        host: "helloworld.default.svc.cluster.local".into(),
        port: 5000,
        protocol: Protocol::Http.into(),
        http_routes: routes,
        tcp_backends: vec![],
        ..Default::default()
    }
}

/// HTTP, with the one route that every service has without a rule.
pub(crate) fn default_http(endpoints: &str) -> Service {
    http(vec![route("default", vec![], vec![to(endpoints, 1)])])
}

pub(crate) fn tcp(endpoints: &str) -> Service {
    Service {
        protocol: Protocol::Tcp.into(),
        http_routes: vec![],
        tcp_backends: vec![to(endpoints, 1)],
        ..http(vec![])
    }
}

/// A port whose protocol nobody declared.
pub(crate) fn undeclared(endpoints: &str) -> Service {
    Service {
        protocol: Protocol::Unspecified.into(),
        tcp_backends: vec![to(endpoints, 1)],
        ..default_http(endpoints)
    }
}

/// A service whose destination has a policy.
pub(crate) fn under(mut service: Service, policy: TrafficPolicy) -> Service {
    let routes = service
        .http_routes
        .iter_mut()
        .flat_map(|route| &mut route.backends);
    for backend in routes.chain(&mut service.tcp_backends) {
        backend.policy = Some(policy.clone());
    }
    service
}
