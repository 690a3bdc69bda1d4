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
    let name = dialled(world, authority, &client.namespace);
    let Some(published) = compile::resource(world, &client, &name).map(|answer| answer.service) else {
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
    let ready =
        ready(published).unwrap_or_else(|error| panic!("the proxy refuses {}: {error}", published.host));
    let Some(found) = route::find(&ready.http, &request) else {
        return "404".to_owned();
    };
    let index = ready
        .http
        .iter()
        .position(|route| std::ptr::eq(route, found.route));
    outcome::route(&published.http_routes[index.expect("one of them")], published)
}

/// As the proxy makes it ready.
pub(super) fn ready(published: &mesh::Service) -> Result<route::Service, route::Invalid> {
    route::Service::new(published.clone(), |backend| {
        Cluster::new(backend, Endpoints::new(&backend.endpoints))
    })
}

/// The first TLS route for a server name, by the proxy's matcher, or where all other connections go.
fn tls<'a>(published: &'a mesh::Service, sni: &str) -> &'a [mesh::Backend] {
    let ready = ready(published).unwrap_or_else(|error| panic!("{}: {error}", published.host));
    let found = route::TlsRoute::find(&ready.tls, Some(sni));
    let index = found.and_then(|found| ready.tls.iter().position(|route| std::ptr::eq(route, found)));
    index.map_or(&published.tcp_backends, |index| {
        &published.tls_routes[index].backends
    })
}

/// What a proxy asks for: the address that DNS and the client make of `HOST[:PORT]`, or the host where there is none. Without
/// a port it is the service's first.
fn dialled(world: &World, authority: &str, namespace: &str) -> String {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().expect("a port"))),
        None => (authority, None),
    };
    // The search path of a pod's resolver.
    let own = format!(".{namespace}.svc.cluster.local");
    let searched = ["", ".svc.cluster.local", &own].map(|end| format!("{host}{end}"));
    let found = searched
        .iter()
        .find_map(|full| Some((full, world.service_by_host(full)?)));
    let (full, service) = found.unwrap_or_else(|| panic!("no service {host}"));
    let port: u16 = port.unwrap_or(service.ports[0].port);
    match service.addresses.first() {
        Some(address) => SocketAddr::new(*address, port).to_string(),
        None => format!("{full}:{port}"),
    }
}

/// A map in the order of its names, for the texts of outcomes.
pub(super) fn sorted(values: &[mesh::HeaderValue]) -> BTreeMap<&str, &str> {
    values
        .iter()
        .map(|one| (one.name.as_str(), one.value.as_str()))
        .collect()
}
