//! What holds for any published service and any request: it is refused with a reason or made ready, and then every request has its
//! answer, the same each time and for each way to write its path. Used by the fuzz target of the same name and by `corpus`.

use std::net::{IpAddr, Ipv4Addr};

use http::uri::PathAndQuery;
use outrigger_proxy::balance::{Cluster, Endpoints};
use outrigger_proxy::message::Request;
use outrigger_proxy::protocol::mesh;
use outrigger_proxy::route::{Service, Target, canonical, choose, find};
use prost::Message;

/// Between a service as it is published and a request: method, target and Host in one line, and a line for each header.
const BETWEEN: &[u8] = b"\n--\n";

/// Reads both, and looks for the request's way.
pub(crate) fn check(data: &[u8]) {
    let between = data.windows(BETWEEN.len()).rposition(|window| window == BETWEEN);
    let (service, request) = match between {
        Some(at) => (&data[..at], &data[at + BETWEEN.len()..]),
        None => (data, &b"GET / a"[..]),
    };
    let Some(request) = parse(&String::from_utf8_lossy(request)) else {
        return;
    };
    let path = canonical(request.uri.path());
    assert_eq!(canonical(&path), path, "of {:?}", request.uri.path());
    let Ok(published) = mesh::Service::decode(service) else {
        return;
    };
    let prepared = Service::new(published, |backend| {
        Cluster::new(backend, Endpoints::new(&backend.endpoints))
    });
    match prepared {
        Ok(service) => routed(&service, &request, &path),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

fn parse(text: &str) -> Option<Request> {
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let mut request = http::Request::builder().method(first.next()?).uri(first.next()?);
    if let Some(host) = first.next() {
        request = request.header("host", host);
    }
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    Some(request.body(()).ok()?.into_parts().0.into())
}

fn routed(service: &Service, request: &Request, path: &str) {
    let at = |request: &Request| {
        let found = find(&service.http, request)?;
        let route = service
            .http
            .iter()
            .position(|route| std::ptr::eq(route, found.route));
        Some((
            route.expect("a route of the service"),
            found.by.map(std::ptr::from_ref),
        ))
    };
    let found = at(request);
    assert_eq!(at(request), found, "a second time");
    let query = request
        .uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    if let Ok(target) = format!("{path}{query}").parse::<PathAndQuery>()
        && let Ok(target) = replaced(request, target)
    {
        assert_eq!(at(&target), found, "by its canonical path {path:?}");
    }
    let Some((route, _)) = found else {
        return;
    };
    for draw in [0, 1, u64::MAX / 2, u64::MAX] {
        let backend = choose(&service.http[route].backends, draw);
        if let Some(Target::Cluster(cluster)) = backend.map(|backend| &backend.target) {
            cluster.hash(&request.uri, &request.headers, IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
    }
    if let Some(authority) = request.headers.text("host") {
        let named = service.hosts.find(authority);
        assert!(named.is_none() || !service.hosts.is_empty());
    }
}

fn replaced(request: &Request, target: PathAndQuery) -> Result<Request, http::uri::InvalidUriParts> {
    let mut uri = request.uri.clone().into_parts();
    uri.path_and_query = Some(target);
    let mut request = request.clone();
    request.uri = http::Uri::from_parts(uri)?;
    Ok(request)
}
