//! What of a VirtualService can only be seen together with the services, the subsets and the other VirtualServices.

use std::collections::BTreeSet;

use crate::api::{VirtualServiceSpec, is_for_mesh};
use crate::control::compile::protocol;
use crate::control::compile::routes::{dead_ends, delegate, pieces};
use crate::control::world::{Rule, Service, World};
use outrigger_proxy::protocol::mesh::Protocol;

/// Fields, and what of them has not the effect that it seems to.
pub(super) fn of(world: &World, rule: &Rule<VirtualServiceSpec>) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    if rule.is_delegate() {
        unused(world, rule, &mut found);
        found.extend(dead_ends(world, rule));
        return found;
    }
    if !is_for_mesh(&rule.spec.gateways) {
        return found;
    }
    found.extend(dead_ends(world, rule));
    hosts(world, rule, &mut found);
    delegates(world, rule, &mut found);
    ports(world, rule, &mut found);
    found
}

fn unused(world: &World, rule: &Rule<VirtualServiceSpec>, found: &mut BTreeSet<(String, String)>) {
    if world.routed_by(rule).is_empty() {
        let why = "there are none, and no VirtualService with hosts delegates to this one, so that it has no effect";
        found.insert(("spec.hosts".to_owned(), why.to_owned()));
    }
}

fn hosts(world: &World, rule: &Rule<VirtualServiceSpec>, found: &mut BTreeSet<(String, String)>) {
    let local = format!(".svc.{}", world.cluster_domain);
    let own = &rule.meta.key.namespace;
    for (index, given) in rule.spec.hosts.iter().enumerate() {
        let host = world.resolve(given, own);
        if !rule.hosts.contains(&host) || host.starts_with('*') {
            continue;
        }
        let field = format!("spec.hosts[{index}]");
        let Some(service) = world.service_for(&host, own) else {
            let why = if host.ends_with(&local) {
                format!("there is no service {host}")
            } else {
                format!(
                    "{host} is neither the full name of a Kubernetes service nor a host of a ServiceEntry that is seen here, so that nothing is routed by it"
                )
            };
            found.insert((field, why));
            continue;
        };
        if service.key.namespace != *own {
            let why = format!(
                "{host} belongs to namespace {}; this speaks only for clients of its own namespace {own}",
                service.key.namespace
            );
            found.insert((field.clone(), why));
        }
        let namespace = &service.key.namespace;
        let both = |other: &&Rule<VirtualServiceSpec>| {
            is_for_mesh(&other.spec.gateways)
                && other.hosts.contains(&host)
                && [own, namespace]
                    .into_iter()
                    .any(|client| other.applies(client, namespace) && rule.applies(client, namespace))
        };
        let mut before = world
            .virtual_services_for(&host)
            .take_while(|other| other.meta.key != rule.meta.key);
        if let Some(other) = before.find(both) {
            let why = format!(
                "{} is for {host} too, and older: this one is asked only for clients for which that one has no route",
                other.title()
            );
            found.insert((field, why));
        }
    }
}

fn delegates(world: &World, rule: &Rule<VirtualServiceSpec>, found: &mut BTreeSet<(String, String)>) {
    for (index, http) in rule.spec.http.iter().enumerate() {
        let Some(to) = &http.delegate else { continue };
        let field = format!("spec.http[{index}].delegate");
        let below = match delegate(world, rule, to) {
            Ok(below) => below,
            Err(why) => {
                found.insert((field, format!("{why}; this rule is left out")));
                continue;
            }
        };
        let begin = format!("{} http[{index}] -> ", rule.title());
        let all = pieces(world, rule);
        for number in 0..below.spec.http.len() {
            let name = format!("{begin}{} http[{number}]", below.title());
            if !all.iter().any(|piece| piece.name == name) {
                let why = format!(
                    "http[{number}] of {} asks for what this rule's matches leave no room for; it is left out",
                    below.title()
                );
                found.insert((field.clone(), why));
            }
        }
    }
}

/// Rules and matches for ports on which none of the services speaks that protocol.
fn ports(world: &World, rule: &Rule<VirtualServiceSpec>, found: &mut BTreeSet<(String, String)>) {
    let services: Vec<&Service> = rule
        .hosts
        .iter()
        .filter_map(|host| world.service_for(host, &rule.meta.key.namespace))
        .collect();
    if services.is_empty() || rule.hosts.iter().any(|host| host.starts_with('*')) {
        return;
    }
    let ports = || services.iter().flat_map(|service| &service.ports);
    let spec = &rule.spec;
    for (kind, some, fits) in [
        (
            "http",
            !spec.http.is_empty(),
            ports().any(|port| protocol::of(port) != Protocol::Tcp),
        ),
        (
            "tcp",
            !spec.tcp.is_empty(),
            ports().any(|port| protocol::of(port) != Protocol::Http),
        ),
        ("tls", !spec.tls.is_empty(), ports().any(protocol::may_be_tls)),
    ] {
        if some && !fits {
            let why = format!("has no effect: no port of the hosts is declared as {kind} or left undeclared");
            found.insert((format!("spec.{kind}"), why));
        }
    }
    let http = spec.http.iter().map(|route| {
        let ports = route.matches.iter().map(|condition| condition.port);
        ("http", ports.collect::<Vec<_>>())
    });
    let tls = spec.tls.iter().map(|route| {
        let ports = route.matches.iter().map(|condition| condition.port);
        ("tls", ports.collect())
    });
    let tcp = spec.tcp.iter().map(|route| {
        let ports = route.matches.iter().map(|condition| condition.port);
        ("tcp", ports.collect())
    });
    for rules in [http.collect::<Vec<_>>(), tls.collect(), tcp.collect()] {
        for (index, (kind, conditions)) in rules.into_iter().enumerate() {
            for (number, port) in conditions.into_iter().enumerate() {
                if let Some(port) = port.filter(|port| *port != 0)
                    && ports().all(|known| known.port != port)
                {
                    let field = format!("spec.{kind}[{index}].match[{number}].port");
                    found.insert((
                        field,
                        format!("no host has a port {port}; this match never holds"),
                    ));
                }
            }
        }
    }
}
