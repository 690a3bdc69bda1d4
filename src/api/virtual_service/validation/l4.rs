//! The rules for TLS and TCP.

use super::{destination, port, source, weights};
use crate::api::{Findings, L4MatchAttributes, RouteDestination, TcpRoute, TlsRoute, names};

pub(super) fn validate_tls(field: &str, route: &TlsRoute, hosts: &[String], found: &mut Findings) {
    if route.matches.is_empty() {
        found.error(field, "needs a match with sniHosts");
    }
    for (index, condition) in route.matches.iter().enumerate() {
        let field = format!("{field}.match[{index}]");
        if condition.sni_hosts.is_empty() {
            found.error(format!("{field}.sniHosts"), "needs a host");
        }
        for (index, sni) in condition.sni_hosts.iter().enumerate() {
            let field = format!("{field}.sniHosts[{index}]");
            if found.check(field.clone(), names::host(sni)).is_some()
                && !hosts.iter().any(|host| is_within(sni, host))
            {
                found.error(field, format!("{sni} is none of the object's hosts"));
            }
        }
        attributes(&field, &condition.l4(), found);
    }
    destinations(&format!("{field}.route"), &route.route, found);
}

pub(super) fn validate_tcp(field: &str, route: &TcpRoute, found: &mut Findings) {
    for (index, condition) in route.matches.iter().enumerate() {
        let field = format!("{field}.match[{index}]");
        if condition.source_subnet.is_some() {
            found.error(
                format!("{field}.sourceSubnet"),
                "is not supported; use sourceLabels or sourceNamespace",
            );
        }
        attributes(&field, condition, found);
    }
    destinations(&format!("{field}.route"), &route.route, found);
}

fn attributes(field: &str, condition: &L4MatchAttributes, found: &mut Findings) {
    for (index, subnet) in condition.destination_subnets.iter().enumerate() {
        found.check(
            format!("{field}.destinationSubnets[{index}]"),
            names::subnet(subnet),
        );
    }
    port(field, condition.port, found);
    source(
        field,
        &condition.source_labels,
        condition.source_namespace.as_deref(),
        &condition.gateways,
        found,
    );
}

fn destinations(field: &str, route: &[RouteDestination], found: &mut Findings) {
    if route.is_empty() {
        found.error(field, "needs a destination");
    }
    let all: Vec<_> = route.iter().map(|to| to.weight).collect();
    weights(field, &all, found);
    for (index, to) in route.iter().enumerate() {
        destination(&format!("{field}[{index}].destination"), &to.destination, found);
    }
}

/// Whether a server name is a host of the object, its full name if that is a short one, or what its wildcard stands for.
fn is_within(sni: &str, host: &str) -> bool {
    let (sni, host) = (sni.to_ascii_lowercase(), host.to_ascii_lowercase());
    match host.strip_prefix('*') {
        Some(end) => sni.ends_with(end),
        None if host.contains('.') => sni == host,
        None => sni == host || sni.strip_prefix(&host).is_some_and(|rest| rest.starts_with('.')),
    }
}
