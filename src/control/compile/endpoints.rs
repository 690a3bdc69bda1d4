//! The ready endpoints of a service's port, or of a subset of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_proxy::protocol::mesh;

use crate::control::world::{Endpoint, World};

/// The endpoints of that resource name, sorted; none if they are not ready. `None` if there is no such service or port.
pub fn endpoints(world: &World, name: &str) -> Option<mesh::Endpoints> {
    let (host, port, labels) = parse(name)?;
    let service = world.service_by_host(host)?;
    let port = service.port(port)?;
    let selected = |endpoint: &Endpoint| {
        let own = world.labels_of(endpoint);
        labels
            .iter()
            .all(|(label, value)| own.is_some_and(|own| own.get(*label).is_some_and(|v| v == value)))
    };
    let primary = service.addresses.first();
    let mut found = BTreeMap::new();
    for slice in world.services().slices(&service.key) {
        for endpoint in slice
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.ready && selected(endpoint))
        {
            let Some(target) = endpoint.port(slice, &port.name) else {
                continue;
            };
            // A pod of a dual-stack service is there once per family. What it is dialled by is the service's primary
            // family: an application may well listen on that one alone.
            let mut family = endpoint
                .addresses
                .iter()
                .filter(|address| primary.is_none_or(|primary| primary.is_ipv4() == address.is_ipv4()));
            // Kubernetes promises that the addresses of one endpoint are the same; consumers take the first.
            let address = match (family.next(), &endpoint.entry) {
                (Some(address), _) => Address::Ip(*address),
                (None, Some(entry)) if endpoint.addresses.is_empty() => Address::Name(&entry.address),
                _ => continue,
            };
            found.insert((address, target), published(endpoint, address, target));
        }
    }
    Some(mesh::Endpoints {
        endpoints: found.into_values().collect(),
    })
}

/// Where an endpoint is; addresses sort before names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Address<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

fn published(endpoint: &Endpoint, address: Address<'_>, port: u16) -> mesh::Endpoint {
    let entry = endpoint.entry.as_deref();
    let locality = entry.and_then(|entry| entry.locality.as_deref());
    mesh::Endpoint {
        address: match address {
            Address::Ip(address) => address.to_string(),
            Address::Name(name) => name.to_owned(),
        },
        port: u32::from(port),
        weight: entry.and_then(|entry| entry.weight).unwrap_or_default(),
        locality: locality.map(|locality| {
            let mut parts = locality.splitn(3, '/').map(str::to_owned);
            let mut part = || parts.next().unwrap_or_default();
            mesh::Locality {
                region: part(),
                zone: part(),
                subzone: part(),
            }
        }),
        ..Default::default()
    }
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
