//! The ready endpoints of a service's port, or of a subset of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use outrigger_proxy::protocol::mesh;

use crate::control::world::{Endpoint, World};

/// The endpoints of that resource name, sorted; none if they are not ready. `None` if there is no such service or port.
pub fn endpoints(world: &World, name: &str) -> Option<mesh::Endpoints> {
    let (host, port, labels) = parse(name)?;
    let service = world.service_by_host(host)?;
    let port = service.port(port)?;
    let selected = |endpoint: &Endpoint| {
        let pod = endpoint.pod.as_ref().and_then(|key| world.pod(key));
        labels
            .iter()
            .all(|(label, value)| pod.is_some_and(|pod| pod.labels.get(*label).is_some_and(|v| v == value)))
    };
    let primary = service.addresses.first();
    let mut addresses = BTreeSet::new();
    for slice in world.services().slices(&service.key) {
        let Some(target) = slice.ports.get(&port.name) else {
            continue;
        };
        for endpoint in slice
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.ready && selected(endpoint))
        {
            // A pod of a dual-stack service is there once per family. What it is dialled by is the service's primary
            // family: an application may well listen on that one alone.
            let family = endpoint
                .addresses
                .iter()
                .filter(|address| primary.is_none_or(|primary| primary.is_ipv4() == address.is_ipv4()));
            // Kubernetes promises that the addresses of one endpoint are the same; consumers take the first.
            addresses.extend(family.take(1).map(|address| SocketAddr::new(*address, *target)));
        }
    }
    let endpoints = addresses.into_iter().map(|address| mesh::Endpoint {
        address: address.ip().to_string(),
        port: u32::from(address.port()),
        ..Default::default()
    });
    Some(mesh::Endpoints {
        endpoints: endpoints.collect(),
    })
}

/// The host that a resource name is about.
pub fn host_of_endpoints(name: &str) -> Option<&str> {
    parse(name).map(|(host, ..)| host)
}

/// Host, port and the labels of a subset.
type Parsed<'a> = (&'a str, u16, Vec<(&'a str, &'a str)>);

/// "HOST:PORT" or "HOST:PORT/LABEL=VALUE,LABEL=VALUE"; a label may have a slash in it.
fn parse(name: &str) -> Option<Parsed<'_>> {
    let (address, labels) = match name.split_once('/') {
        Some((address, labels)) => {
            let labels: Option<Vec<_>> = labels.split(',').map(|label| label.split_once('=')).collect();
            (address, labels?)
        }
        None => (name, Vec::new()),
    };
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?, labels))
}
