//! One row: who asks for what, and what becomes of it, by the compiler and then by the proxy's matcher.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use outrigger::control::compile::{self, Client};
use outrigger::control::world::World;
use outrigger_proxy::balance::{Cluster, Endpoints};
use outrigger_proxy::protocol::mesh;
use outrigger_proxy::route;

use super::outcome;

/// `[NAMESPACE] [LABEL=VALUE …] METHOD [SCHEME://]HOST[:PORT]/PATH [-H NAME:VALUE …]`, or with `TCP HOST[:PORT]` or
/// `TLS HOST[:PORT] SERVER-NAME` instead of a request.
pub(super) fn answer(world: &World, asked: &str) -> String {
    let mut client = Client {
        namespace: "default".to_owned(),
        ..Default::default()
    };
    let mut words = asked.split(' ');
    let method = loop {
        let word = words.next().unwrap_or_else(|| panic!("{asked}: no method"));
        match word.split_once('=') {
            Some((label, value)) => {
                client.labels.insert(label.to_owned(), value.to_owned());
            }
            None if word.chars().all(|c| c.is_ascii_uppercase()) => break word,
            None => client.namespace = word.to_owned(),
        }
    };
    let target = words.next().unwrap_or_else(|| panic!("{asked}: no target"));
    let rest: Vec<&str> = words.collect();
    let (scheme, target) = match target.split_once("://") {
        Some((scheme, target)) => (Some(scheme), target),
        None => (None, target),
    };
    let (authority, path) = target.find('/').map_or((target, "/"), |at| target.split_at(at));
    let address = dialled(world, authority, &client.namespace);
    let Some(published) = compile::service(world, &client, address) else {
        return "nothing".to_owned();
    };
    match method {
        "TCP" => outcome::backends(&published.tcp_backends, &published),
        "TLS" => outcome::backends(tls(&published, rest[0]), &published),
        _ => http(&published, method, scheme, authority, path, &rest),
    }
}

fn http(
    published: &mesh::Service,
    method: &str,
    scheme: Option<&str>,
    authority: &str,
    path: &str,
    rest: &[&str],
) -> String {
    let uri = scheme.map_or(path.to_owned(), |scheme| format!("{scheme}://{authority}{path}"));
    let mut request = http::Request::builder()
        .method(method)
        .uri(uri)
        .header("host", authority);
    for pair in rest.chunks(2) {
        let (name, value) = match pair {
            ["-H", header] => header.split_once(':').expect("NAME:VALUE"),
            _ => panic!("{rest:?}: only -H NAME:VALUE"),
        };
        request = request.header(name, value);
    }
    let (request, ()) = request.body(()).expect("a request").into_parts();
    let ready = route::Service::new(published.clone(), |backend| {
        Cluster::new(backend, Endpoints::new(&backend.endpoints))
    });
    let ready = ready.unwrap_or_else(|error| panic!("the proxy refuses {}: {error}", published.host));
    let Some(found) = route::find(&ready.http, &request) else {
        return "404".to_owned();
    };
    let index = ready
        .http
        .iter()
        .position(|route| std::ptr::eq(route, found.route));
    outcome::route(&published.http_routes[index.expect("one of them")], published)
}

/// The first TLS route for a server name, or where all other connections go.
fn tls<'a>(published: &'a mesh::Service, sni: &str) -> &'a [mesh::Backend] {
    let holds = |host: &String| match host.strip_prefix('*') {
        Some(end) => sni.ends_with(end),
        None => host == sni,
    };
    let route = published
        .tls_routes
        .iter()
        .find(|route| route.sni_hosts.iter().any(holds));
    route.map_or(&published.tcp_backends, |route| &route.backends)
}

/// The address that DNS and the client make of `NAME[.NAMESPACE][:PORT]`; without a port the service's first.
fn dialled(world: &World, authority: &str, namespace: &str) -> SocketAddr {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().expect("a port"))),
        None => (authority, None),
    };
    let full: Vec<&str> = host.split('.').collect();
    let full = match full[..] {
        [name] => format!("{name}.{namespace}.svc.cluster.local"),
        [name, namespace] => format!("{name}.{namespace}.svc.cluster.local"),
        _ => host.to_owned(),
    };
    let service = world
        .service_by_host(&full)
        .unwrap_or_else(|| panic!("no service {full}"));
    let port = port.unwrap_or(service.ports[0].port);
    SocketAddr::new(*service.addresses.first().expect("an address"), port)
}

/// A map in the order of its names, for the texts of outcomes.
pub(super) fn sorted(values: &[mesh::HeaderValue]) -> BTreeMap<&str, &str> {
    values
        .iter()
        .map(|one| (one.name.as_str(), one.value.as_str()))
        .collect()
}
