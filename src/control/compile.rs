//! The objects in, what a proxy is told out: pure. Before: `world` knows the objects. After: `discovery` publishes the answers.

mod considered;
mod endpoints;
mod entries;
mod named;
mod place;
mod policy;
mod problems;
mod protocol;
mod routes;
mod subset;
mod workload;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use outrigger_proxy::protocol::mesh;

pub use considered::{Notes, PassedOver, considered};
pub use endpoints::{endpoints, endpoints_for, endpoints_of, host_of_endpoints, service_of_endpoints};
pub use problems::{Problem, Severity, problems, problems_of};
pub use workload::workload;

use super::world::World;

/// The pod that asks, as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    /// Where rules apply to it.
    pub namespace: String,
    /// What rules select it by.
    pub labels: BTreeMap<String, String>,
}

/// What a client is told of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Where connections go.
    pub service: mesh::Service,
    /// The hosts that it is made of: a change of one of them may be one of this.
    pub hosts: Vec<String>,
}

/// What a resource name says to a client: "ADDRESS:PORT" as it dialled it, "HOST:PORT" as it named it, or "*:PORT" for all
/// that is known by its name alone. `None` if the name is no service's, or none that the client sees.
pub fn resource(world: &World, client: &Client, name: &str) -> Option<Answer> {
    if let Ok(address) = name.parse() {
        return dialled(world, client, address);
    }
    let (host, port) = name.rsplit_once(':')?;
    let port = port.parse().ok()?;
    match host {
        "*" => named::all(world, client, port),
        host => named::one(world, client, host, port),
    }
}

/// Where a client's connections to `address` go; `None` if the address is no service's, so that they go through as they are.
pub fn service(world: &World, client: &Client, address: SocketAddr) -> Option<mesh::Service> {
    dialled(world, client, address).map(|answer| answer.service)
}

fn dialled(world: &World, client: &Client, address: SocketAddr) -> Option<Answer> {
    let view = world.view(&client.namespace, &client.labels);
    let mut meant = world.services().dialled(address);
    meant.retain(|(service, port)| view.sees(service, port.port));
    let (service, port) = *meant.first()?;
    let target = routes::Target {
        world,
        client,
        service,
        port,
        address: Some(address.ip()),
    };
    let mut answer = Answer {
        service: target.service(),
        hosts: meant.iter().map(|(service, _)| world.host_of(service)).collect(),
    };
    if meant.len() > 1 && answer.service.protocol() != mesh::Protocol::Tcp {
        for (service, port) in meant {
            let resource = format!("{}:{}", world.host_of(service), port.port);
            let names = named::names(world, client, service, Some(address.ip()));
            answer
                .service
                .hosts
                .extend(names.into_iter().map(|name| (name, resource.clone())));
        }
    }
    Some(answer)
}

impl routes::Target<'_> {
    fn service(&self) -> mesh::Service {
        let protocol = protocol::of(self.port);
        let notes = &mut Notes::none();
        // What is not declared is found out by the proxy, connection by connection, so it needs both answers.
        let http_routes = match protocol {
            mesh::Protocol::Tcp => Vec::new(),
            _ => self.http_routes(notes),
        };
        let (tcp_backends, tls_routes) = match protocol {
            mesh::Protocol::Http => (Vec::new(), Vec::new()),
            _ => (self.tcp_backends(notes), self.tls_routes(notes)),
        };
        mesh::Service {
            host: self.world.host_of(self.service),
            port: u32::from(self.port.port),
            protocol: protocol.into(),
            http_routes,
            tcp_backends,
            tls_routes,
            namespace: self.service.key.namespace.clone(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests;
