//! The objects in, what a proxy is told out: pure. Before: `world` knows the objects. After: `discovery` publishes the answers.

mod endpoints;
mod problems;
mod protocol;
mod routes;
mod subset;
mod workload;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use outrigger_proxy::protocol::mesh;

pub use endpoints::{endpoints, host_of_endpoints};
pub use problems::{Problem, Severity, problems};
pub use workload::workload;

use super::world::World;

/// The pod that asks, as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Where rules apply to it.
    pub namespace: String,
    /// What rules select it by.
    pub labels: BTreeMap<String, String>,
}

/// Where a client's connections to `address` go; `None` if the address is no service's, so that they go through as they are.
pub fn service(world: &World, client: &Client, address: SocketAddr) -> Option<mesh::Service> {
    let service = world.services().at(address.ip())?;
    let port = service.port(address.port())?;
    let target = routes::Target {
        world,
        client,
        service,
        port,
        address: Some(address.ip()),
    };
    let protocol = protocol::of(port);
    // What is not declared is found out by the proxy, connection by connection, so it needs both answers.
    let http_routes = match protocol {
        mesh::Protocol::Tcp => Vec::new(),
        _ => target.http_routes(),
    };
    let (tcp_backends, tls_routes) = match protocol {
        mesh::Protocol::Http => (Vec::new(), Vec::new()),
        _ => (target.tcp_backends(), target.tls_routes()),
    };
    Some(mesh::Service {
        host: world.host_of(service),
        port: u32::from(address.port()),
        protocol: protocol.into(),
        http_routes,
        tcp_backends,
        tls_routes,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests;
