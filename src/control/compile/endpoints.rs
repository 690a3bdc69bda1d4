//! The endpoints of a service's port, or of a subset of them: where they are, and all by which a client may prefer some.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_proxy::protocol::mesh;

use super::place;
use crate::control::world::{Endpoint, Service, World};

/// The endpoints of that resource name, sorted: those that are ready, and those that are about to end and still answer.
/// `None` if there is no such service or port.
pub fn endpoints(world: &World, name: &str) -> Option<mesh::Endpoints> {
    let parsed = parse(name)?;
    of(world, world.service_by_host(parsed.0)?, parsed)
}

/// The same as clients of a namespace see it: two namespaces may have ServiceEntries of their own for one host.
pub fn endpoints_for(world: &World, namespace: &str, name: &str) -> Option<mesh::Endpoints> {
    endpoints_of(world, service_of_endpoints(world, namespace, name)?, name)
}

/// The service whose endpoints clients of a namespace mean by that resource name.
pub fn service_of_endpoints<'a>(world: &'a World, namespace: &str, name: &str) -> Option<&'a Service> {
    world.service_for(parse(name)?.0, namespace)
}

/// The endpoints of that resource name, once it is known which service it means.
pub fn endpoints_of(world: &World, service: &Service, name: &str) -> Option<mesh::Endpoints> {
    of(world, service, parse(name)?)
}

fn of(world: &World, service: &Service, (host, port, labels): Parsed<'_>) -> Option<mesh::Endpoints> {
    let port = service.port(port)?;
    let selected = |endpoint: &Endpoint| {
        let own = world.labels_of(endpoint);
        labels
            .iter()
            .all(|(label, value)| own.is_some_and(|own| own.get(*label).is_some_and(|v| v == value)))
    };
    let primary = service.addresses.first();
    let named = named_labels(world, host);
    let mut found = BTreeMap::new();
    for slice in world.services().slices(&service.key) {
        for endpoint in slice
            .endpoints
            .iter()
            .filter(|endpoint| (endpoint.ready || endpoint.ending) && selected(endpoint))
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
            found.insert(
                (address, target),
                published(world, &named, endpoint, address, target),
            );
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

fn published(
    world: &World,
    named: &BTreeSet<&str>,
    endpoint: &Endpoint,
    address: Address<'_>,
    port: u16,
) -> mesh::Endpoint {
    let entry = endpoint.entry.as_deref();
    let own = world.labels_of(endpoint);
    let labels = own.into_iter().flatten();
    let labels = labels.filter(|(name, _)| named.contains(name.as_str()));
    mesh::Endpoint {
        address: match address {
            Address::Ip(address) => address.to_string(),
            Address::Name(name) => name.to_owned(),
        },
        port: u32::from(port),
        weight: entry.and_then(|entry| entry.weight).unwrap_or_default(),
        locality: place::of_endpoint(world, endpoint),
        labels: labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        node: endpoint.node.clone().unwrap_or_default(),
        terminating: !endpoint.ready,
    }
}

/// The labels by which DestinationRules for a host prefer endpoints. The others are not published: most clients would never
/// look at them.
fn named_labels<'a>(world: &'a World, host: &str) -> BTreeSet<&'a str> {
    let mut named = BTreeSet::new();
    for rule in world.destination_rules_for(host) {
        let policies = rule
            .spec
            .subsets
            .iter()
            .map(|subset| subset.traffic_policy.as_ref())
            .chain([rule.spec.traffic_policy.as_ref()]);
        let settings = policies.flatten().flat_map(|policy| {
            let of_ports = policy.port_level_settings.iter().map(|port| &port.load_balancer);
            of_ports.chain([&policy.load_balancer]).flatten()
        });
        let priorities = settings.filter_map(|settings| settings.locality_lb_setting.as_ref());
        for label in priorities.flat_map(|setting| &setting.failover_priority) {
            named.insert(label.split_once('=').map_or(label.as_str(), |(name, _)| name));
        }
    }
    named
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
