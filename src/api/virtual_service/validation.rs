//! What a VirtualService cannot mean, and what means less than it seems to: all that can be said of one object alone.
//! The rules are those of Istio's own validation. Before: `spec` has read it. After: `control::world` keeps the findings.

mod actions;
mod fault;
mod http;
mod l4;
mod matches;
mod reach;

use super::{Destination, VirtualServiceSpec};
use crate::api::{Findings, names};

impl VirtualServiceSpec {
    /// Notes what is wrong.
    pub fn validate(&self, found: &mut Findings) {
        let is_delegate = self.hosts.is_empty();
        if is_delegate {
            for (field, set) in [
                ("gateways", !self.gateways.is_empty()),
                ("tls", !self.tls.is_empty()),
                ("tcp", !self.tcp.is_empty()),
            ] {
                if set {
                    found.error(
                        format!("spec.{field}"),
                        "cannot be in a VirtualService without hosts, to which others delegate",
                    );
                }
            }
        }
        self.validate_hosts(found);
        for (index, gateway) in self.gateways.iter().enumerate() {
            found.check(format!("spec.gateways[{index}]"), names::gateway(gateway));
        }
        if !is_for_mesh(&self.gateways) {
            found.warning(
                "spec.gateways",
                "does not name mesh, so that this says nothing to sidecars",
            );
        }
        for (index, wrong) in names::export_to(&self.export_to) {
            found.error(format!("spec.exportTo[{index}]"), wrong);
        }
        if self.http.is_empty() && self.tls.is_empty() && self.tcp.is_empty() {
            found.error("spec", "needs http, tls or tcp");
        }
        for (index, route) in self.http.iter().enumerate() {
            http::validate(&format!("spec.http[{index}]"), route, is_delegate, found);
        }
        for (index, route) in self.tls.iter().enumerate() {
            l4::validate_tls(&format!("spec.tls[{index}]"), route, &self.hosts, found);
        }
        for (index, route) in self.tcp.iter().enumerate() {
            l4::validate_tcp(&format!("spec.tcp[{index}]"), route, found);
        }
        reach::validate(self, found);
    }

    fn validate_hosts(&self, found: &mut Findings) {
        let mut good: Vec<&String> = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            let field = format!("spec.hosts[{index}]");
            if host.parse::<std::net::IpAddr>().is_err()
                && found.check(field.clone(), names::host(host)).is_none()
            {
                continue;
            }
            if host == "*" && is_for_mesh(&self.gateways) {
                found.error(
                    field,
                    "* is every host of the mesh, which Istio does not allow; name the hosts, or a wildcard such as *.example.com",
                );
                continue;
            }
            match good.iter().find(|other| overlap(other, host)) {
                Some(other) => found.error(field, format!("{host} is among the hosts already, as {other}")),
                None => good.push(host),
            }
        }
    }
}

/// Whether two hosts are one, or one is a wildcard around the other.
fn overlap(one: &str, other: &str) -> bool {
    let within = |wildcard: &str, host: &str| {
        let end = wildcard.strip_prefix('*');
        end.is_some_and(|end| host.len() > end.len() && host.ends_with(end))
    };
    one.eq_ignore_ascii_case(other) || within(one, other) || within(other, one)
}

/// Rules for gateways alone say nothing to a sidecar; without gateways they are for every sidecar.
pub(crate) fn is_for_mesh(gateways: &[String]) -> bool {
    gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh")
}

fn destination(field: &str, destination: &Destination, found: &mut Findings) {
    let Destination { host, subset, port } = destination;
    if host == "*" {
        found.error(format!("{field}.host"), "* is not a destination; name a host");
    } else if host.parse::<std::net::IpAddr>().is_err() {
        found.check(format!("{field}.host"), names::host(host));
    }
    if let Some(subset) = subset {
        found.check(format!("{field}.subset"), names::dns_label(subset));
    }
    if port.as_ref().is_some_and(|port| port.number == 0) {
        found.error(format!("{field}.port.number"), "0 is not a port; 1 to 65535 are");
    }
}

/// Weights of the destinations of one rule.
fn weights(field: &str, weights: &[i32], found: &mut Findings) {
    for (index, weight) in weights.iter().enumerate() {
        if *weight < 0 {
            found.error(
                format!("{field}[{index}].weight"),
                format!("{weight} is less than 0"),
            );
        }
    }
    if weights.len() > 1 && weights.iter().all(|weight| *weight == 0) {
        found.error(field, "no destination has a weight above 0");
    }
}

fn port(field: &str, port: Option<u16>, found: &mut Findings) {
    if port == Some(0) {
        found.warning(format!("{field}.port"), "0 is no condition; every port is meant");
    }
}

/// The conditions on who sends, which every kind of match has.
fn source(
    field: &str,
    labels: &std::collections::BTreeMap<String, String>,
    namespace: Option<&str>,
    gateways: &[String],
    found: &mut Findings,
) {
    for (name, value) in labels {
        found.check(format!("{field}.sourceLabels.{name}"), names::label(name, value));
    }
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        found.check(format!("{field}.sourceNamespace"), names::dns_label(namespace));
    }
    for (index, gateway) in gateways.iter().enumerate() {
        found.check(format!("{field}.gateways[{index}]"), names::gateway(gateway));
    }
    if !gateways.is_empty() && (!labels.is_empty() || namespace.is_some()) {
        found.warning(
            format!("{field}.gateways"),
            "gateways make sourceLabels and sourceNamespace be ignored, as in Istio",
        );
    }
}
