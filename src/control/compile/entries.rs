//! What ServiceEntries and WorkloadEntries say that leads nowhere, or that another one decides. Before: `problems` asks. What is
//! malformed in one alone is found when it is read.

use super::protocol;
use crate::api::{Resolution, ServiceEntrySpec, WorkloadEntrySpec};
use crate::control::world::{Rule, World};
use outrigger_proxy::protocol::mesh::Protocol;

/// Each with its field and what happens instead.
pub(super) fn problems(world: &World, rule: &Rule<ServiceEntrySpec>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let spec = &rule.spec;
    if spec.resolution() == Resolution::Static {
        if spec.endpoints.is_empty() && spec.workload_selector.is_none() {
            let why = "STATIC needs endpoints or a workloadSelector; connections lead nowhere";
            found.push(("spec.resolution".to_owned(), why.to_owned()));
        } else if spec.workload_selector.is_some() && selects_nothing(world, rule) {
            let why = "selects no pod with an address and no WorkloadEntry of this namespace; connections lead nowhere";
            found.push(("spec.workloadSelector".to_owned(), why.to_owned()));
        }
    }
    for (index, host) in rule.hosts.iter().enumerate() {
        let mut naming = world.service_entries_naming(host).into_iter();
        let older = naming.find(|other| {
            other.meta.key.namespace == rule.meta.key.namespace
                && (other.meta.created, &other.meta.key) < (rule.meta.created, &rule.meta.key)
        });
        let Some(older) = older else { continue };
        if older.spec.resolution() != spec.resolution() || older.spec.export_to != spec.export_to {
            let why = format!(
                "{host} is also in {}, which is older: its resolution and exportTo are used",
                older.title()
            );
            found.push((format!("spec.hosts[{index}]"), why));
        }
    }
    found.extend(shadowed(world, rule));
    found
}

/// The same of a WorkloadEntry, whose ServiceEntries say how it is used.
pub(super) fn problems_of_workload(world: &World, rule: &Rule<WorkloadEntrySpec>) -> Vec<(String, String)> {
    let selecting = world.service_entries_selecting(&rule.meta.key.namespace);
    let selecting: Vec<_> = selecting.filter(|entry| entry.selects(rule)).collect();
    if selecting.is_empty() {
        let why = "no ServiceEntry of this namespace selects it, so that nothing leads there; the selector of a \
                   Service means pods alone";
        return vec![("spec.labels".to_owned(), why.to_owned())];
    }
    let mut found = Vec::new();
    if let Some(entry) = selecting.iter().find(|entry| !entry.leads_to(rule)) {
        let why = format!(
            "is no IP address, which {} needs without resolution DNS",
            entry.title()
        );
        found.push(("spec.address".to_owned(), why));
    }
    let ports = selecting.iter().flat_map(|entry| &entry.spec.ports);
    let unknown = rule
        .spec
        .ports
        .keys()
        .filter(|name| ports.clone().all(|port| port.name != **name));
    for name in unknown {
        let why = "is not the name of a port of the ServiceEntries that select it, and has no effect";
        found.push((format!("spec.ports.{name}"), why.to_owned()));
    }
    found
}

fn selects_nothing(world: &World, rule: &Rule<ServiceEntrySpec>) -> bool {
    let services = rule.hosts.iter().filter_map(|host| {
        let mut all = world.services().with_host(host);
        all.find(|service| service.key.namespace == rule.meta.key.namespace)
    });
    let mut slices = services.flat_map(|service| world.services().slices(&service.key));
    slices.all(|slice| slice.endpoints.is_empty())
}

/// Ports of bytes that name nothing, of which there can be only one service for a client.
fn shadowed(world: &World, rule: &Rule<ServiceEntrySpec>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for host in &rule.hosts {
        let mut all = world.services().with_host(host);
        let own = all.find(|service| service.key.namespace == rule.meta.key.namespace);
        let Some(own) = own.filter(|own| super::named::is_named_only(own)) else {
            continue;
        };
        for port in &own.ports {
            let opaque = |port| protocol::of(port) == Protocol::Tcp && !protocol::is_tls(port);
            if !opaque(port) {
                continue;
            }
            let field = rule
                .spec
                .ports
                .iter()
                .position(|one| one.number == u32::from(port.port));
            let others = world
                .services()
                .outside()
                .filter(|other| super::named::is_named_only(other));
            let others = others.filter(|other| other.key.namespace == own.key.namespace);
            let first = others
                .filter(|other| other.port(port.port).is_some_and(opaque))
                .last();
            if let (Some(index), Some(first)) = (field, first)
                && first.key != own.key
            {
                let why = format!(
                    "nothing in a TCP connection says that it is for {host}, and without spec.addresses all of port {} are for {}",
                    port.port,
                    world.host_of(first)
                );
                found.push((format!("spec.ports[{index}]"), why));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
