//! One row: who asks for what, and what becomes of it, by the compiler and then by the proxy's matcher.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use outrigger::control::compile::{self, Client};
use outrigger::control::world::World;
use outrigger_proxy::balance::{Cluster, Endpoints};
use outrigger_proxy::message::Request;
use outrigger_proxy::protocol::mesh;
use outrigger_proxy::route;

use super::outcome;

/// Who asks, and what for: `[NAMESPACE] [LABEL=VALUE …] METHOD [SCHEME://]HOST[:PORT]/PATH [-H NAME:VALUE …]`, or with
/// `TCP HOST[:PORT]` or `TLS HOST[:PORT] SERVER-NAME` instead of a request.
pub(super) struct Asked<'a> {
    pub(super) client: Client,
    /// Or `TCP` or `TLS`.
    pub(super) method: &'a str,
    pub(super) scheme: Option<&'a str>,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'a str, &'a str)>,
    /// Of TLS.
    pub(super) server_name: &'a str,
}

impl<'a> Asked<'a> {
    pub(super) fn parse(asked: &'a str) -> Self {
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
        let mut rest: Vec<&str> = words.collect();
        let server_name = match method {
            "TLS" => rest.remove(0),
            _ => "",
        };
        let (scheme, target) = match target.split_once("://") {
            Some((scheme, target)) => (Some(scheme), target),
            None => (None, target),
        };
        let (authority, path) = target.find('/').map_or((target, "/"), |at| target.split_at(at));
        let headers = rest.chunks(2).map(|pair| match pair {
            ["-H", header] => header.split_once(':').expect("NAME:VALUE"),
            _ => panic!("{asked}: only -H NAME:VALUE"),
        });
        Self {
            client,
            method,
            scheme,
            authority,
            path,
            headers: headers.collect(),
            server_name,
        }
    }

    /// What a proxy asks for: the address that DNS and the client make of `HOST[:PORT]`, or the host where there is none.
    /// Without a port it is the service's first.
    pub(super) fn dialled(&self, world: &World) -> String {
        let (host, port) = match self.authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().expect("a port"))),
            None => (self.authority, None),
        };
        // The search path of a pod's resolver.
        let own = format!(".{}.svc.cluster.local", self.client.namespace);
        let searched = ["", ".svc.cluster.local", &own].map(|end| format!("{host}{end}"));
        let found = searched
            .iter()
            .find_map(|full| Some((full, world.service_by_host(full)?)));
        let (full, service) = found.unwrap_or_else(|| panic!("no service {host}"));
        let port: u16 = port.unwrap_or(service.ports[0].port);
        let of_entry = service.ranges.first().map(|range| range.addr());
        match service.addresses.first().copied().or(of_entry) {
            Some(address) => SocketAddr::new(address, port).to_string(),
            None => format!("{full}:{port}"),
        }
    }

    /// As a proxy reads it.
    pub(super) fn head(&self) -> Request {
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(self.target())
            .header("host", self.authority);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0.into()
    }

    /// As it is written on a connection.
    pub(super) fn target(&self) -> String {
        let Self {
            scheme,
            authority,
            path,
            ..
        } = self;
        scheme.map_or(path.to_string(), |scheme| format!("{scheme}://{authority}{path}"))
    }
}

/// What the rules say of a row.
pub(super) fn answer(world: &World, asked: &str) -> String {
    let asked = Asked::parse(asked);
    let name = asked.dialled(world);
    let Some(published) = compile::resource(world, &asked.client, &name).map(|answer| answer.service) else {
        return "nothing".to_owned();
    };
    match asked.method {
        "TCP" => outcome::backends(&published.tcp_backends, &published),
        "TLS" => outcome::backends(tls(&published, asked.server_name), &published),
        _ => http(&published, &asked),
    }
}

fn http(published: &mesh::Service, asked: &Asked<'_>) -> String {
    let request = asked.head();
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

/// A map in the order of its names, for the texts of outcomes.
pub(super) fn sorted(values: &[mesh::HeaderValue]) -> BTreeMap<&str, &str> {
    values
        .iter()
        .map(|one| (one.name.as_str(), one.value.as_str()))
        .collect()
}
