//! Which VirtualServices and which of their matches are for a client, and why the others are not: `routes` decides by this, and
//! notes what it passes over for whoever wants to know. After: the command `explain request`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use outrigger_proxy::protocol::mesh;

use super::routes::Target;
use super::{Client, named, protocol};
use crate::api::{VirtualServiceSpec, is_for_mesh};
use crate::control::world::{Rule, View, World};

/// A rule, or a match of one, that is not published to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// For instance `VirtualService default/helloworld http[0] match[1]`.
    pub rule: String,
    /// As a clause that follows the rule's name.
    pub why: String,
}

/// What `routes` notes while it decides; whoever only wants the routes takes none.
#[derive(Debug, Default)]
pub struct Notes {
    wanted: bool,
    /// In the order in which they were considered.
    pub passed_over: Vec<PassedOver>,
    /// The rule that has opaque connections, which their published form does not name.
    pub used: Option<String>,
}

impl Notes {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn passed_over(&mut self, note: impl FnOnce() -> (String, String)) {
        if self.wanted {
            let (rule, why) = note();
            self.passed_over.push(PassedOver { rule, why });
        }
    }

    pub(super) fn used(&mut self, rule: impl FnOnce() -> String) {
        if self.wanted {
            self.used = Some(rule());
        }
    }
}

/// What was considered for a client's requests to a service's port, HTTP or not; `address` is what it dialled, if that names
/// the service.
pub fn considered(
    world: &World,
    client: &Client,
    (host, port): (&str, u16),
    address: Option<IpAddr>,
    http: bool,
) -> Notes {
    let mut notes = Notes {
        wanted: true,
        ..Notes::none()
    };
    let Some(service) = named::asked(world, client, host) else {
        return notes;
    };
    let Some(port) = service.port(port) else {
        return notes;
    };
    let target = Target {
        world,
        client,
        service: &service,
        port,
        address,
    };
    if http && protocol::of(port) != mesh::Protocol::Tcp {
        target.http_routes(&mut notes);
    } else {
        target.tls_routes(&mut notes);
        target.tcp_backends(&mut notes);
        let mut seen = Vec::new();
        notes.passed_over.retain(|one| {
            let new = !seen.contains(one);
            seen.push(one.clone());
            new
        });
    }
    notes
}

impl Target<'_> {
    /// Why a VirtualService has no say about the service for this client, which sees so much.
    pub(super) fn silence<'s>(
        &'s self,
        view: &View<'_>,
        rule: &'s Rule<VirtualServiceSpec>,
    ) -> Option<Silence<'s>> {
        let (client, service) = (&self.client.namespace, &self.service.key.namespace);
        if !is_for_mesh(&rule.spec.gateways) {
            Some(Silence::Gateways(&rule.spec.gateways))
        } else if rule.applies(client, service) {
            let follows = view.follows(rule, self.port.port);
            (!follows).then_some(Silence::NotImported(&rule.meta.key.namespace))
        } else if rule.is_exported_to(client) {
            Some(Silence::Foreign(service))
        } else {
            Some(Silence::NotExported(client))
        }
    }

    /// What is known of the client and of what it dialled is decided here, not at the proxy.
    pub(super) fn unselected<'c>(
        &self,
        port: Option<u16>,
        gateways: &'c [String],
        (labels, namespace): (&'c BTreeMap<String, String>, Option<&'c str>),
    ) -> Option<Unselected<'c>> {
        // Protobuf's 0 is as good as nothing.
        if let Some(port) = port.filter(|port| *port != 0 && *port != self.port.port) {
            return Some(Unselected::Port(port));
        }
        if !gateways.is_empty() {
            return (!is_for_mesh(gateways)).then_some(Unselected::Gateways(gateways));
        }
        let other = |namespace: &&str| !namespace.is_empty() && **namespace != self.client.namespace;
        if let Some(namespace) = namespace.filter(other) {
            return Some(Unselected::Namespace(namespace));
        }
        let own = &self.client.labels;
        let lacking = labels
            .iter()
            .find(|(label, value)| own.get(*label) != Some(*value));
        lacking.map(|(label, value)| Unselected::Label(label, value))
    }
}

/// Why a VirtualService has no say about a service for a client.
#[derive(Debug)]
pub(super) enum Silence<'a> {
    /// It is for these gateways, not for the mesh.
    Gateways(&'a [String]),
    /// Not for clients of this namespace.
    NotExported(&'a str),
    /// The service belongs to this other namespace.
    Foreign(&'a str),
    /// The client's Sidecar leaves it out, which is in this namespace.
    NotImported(&'a str),
}

impl fmt::Display for Silence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateways(gateways) => {
                write!(f, "gateways {}: it is not for the mesh", gateways.join(", "))
            }
            Self::NotExported(client) => write!(f, "exportTo: it is not exported to namespace {client}"),
            Self::NotImported(namespace) => write!(
                f,
                "the egress of the client's Sidecar has none of its hosts for its namespace {namespace}"
            ),
            Self::Foreign(service) => write!(
                f,
                "the host belongs to namespace {service}: it speaks only for clients of its own namespace"
            ),
        }
    }
}

/// The condition by which a match is not for a client, or not for what it dialled.
#[derive(Debug)]
pub(super) enum Unselected<'a> {
    Port(u16),
    Gateways(&'a [String]),
    Namespace(&'a str),
    Label(&'a str, &'a str),
    Subnets(&'a [String]),
    /// It cannot mean anything.
    Mistake,
}

impl Unselected<'_> {
    /// In words: the condition, and what the client has instead.
    pub(super) fn of(&self, client: &Client, port: u16) -> String {
        match self {
            Self::Port(asked) => format!("port {asked}: the port is {port}"),
            Self::Gateways(gateways) => format!("gateways {}: it is not for the mesh", gateways.join(", ")),
            Self::Namespace(namespace) => {
                format!(
                    "sourceNamespace {namespace}: the client is in {}",
                    client.namespace
                )
            }
            Self::Label(label, value) => match client.labels.get(*label) {
                Some(own) => format!("sourceLabels {label}={value}: the client has {label}={own}"),
                None => format!("sourceLabels {label}={value}: the client has no label {label}"),
            },
            Self::Subnets(subnets) => {
                let subnets = subnets.join(", ");
                format!("destinationSubnets {subnets}: the address is in none of them")
            }
            Self::Mistake => "it has a mistake, so that it never holds".to_owned(),
        }
    }
}

/// Why a VirtualService that could speak is not asked.
pub(super) fn asked_before(speaks: &Rule<VirtualServiceSpec>) -> String {
    format!(
        "{} comes before it, being older or for a more specific host, and has routes for this client",
        speaks.title()
    )
}
