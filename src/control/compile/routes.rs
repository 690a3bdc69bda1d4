//! The HTTP routes of one service for one client: the VirtualService that speaks for it, or the default.
//! Its parts: `piece` (a rule as it is in force, delegated or not), `matches`, `actions`, `l4` (TLS and TCP).

mod actions;
mod l4;
mod matches;
mod piece;

pub(super) use piece::{delegate, pieces};

use std::net::IpAddr;

use outrigger_proxy::protocol::mesh;

use super::considered::{self, Notes, Unselected};
use super::policy;
use super::subset::{Rules, resource_name};
use super::{Client, protocol};
use crate::api::{Destination, VirtualServiceSpec};
use crate::control::world::{Rule, Service, ServicePort, World};

/// Who asks, and for what.
pub(super) struct Target<'a> {
    pub(super) world: &'a World,
    pub(super) client: &'a Client,
    pub(super) service: &'a Service,
    pub(super) port: &'a ServicePort,
    /// What the client dialled; `None` if it went by the host's name.
    pub(super) address: Option<IpAddr>,
}

impl Target<'_> {
    /// Those of the first VirtualService that has any for this client; otherwise one that leads to every endpoint.
    pub(super) fn http_routes(&self, notes: &mut Notes) -> Vec<mesh::HttpRoute> {
        let mut rules = self.speaking(notes);
        let found = rules.by_ref().find_map(|rule| {
            let routes = self.routes_of(rule, notes);
            (!routes.is_empty()).then_some((rule, routes))
        });
        match found {
            Some((speaks, routes)) => {
                for rule in rules {
                    notes.passed_over(|| (rule.title(), considered::asked_before(speaks)));
                }
                routes
            }
            None => vec![mesh::HttpRoute {
                name: "default".to_owned(),
                matches: Vec::new(),
                backends: vec![self.whole_service()],
                ..Default::default()
            }],
        }
    }

    /// The VirtualServices that have a say about the service for this client, in their order.
    fn speaking(&self, notes: &mut Notes) -> std::vec::IntoIter<&Rule<VirtualServiceSpec>> {
        let host = self.world.host_of(self.service);
        let mut rules: Vec<_> = self.world.virtual_services_for(&host).collect();
        if rules.is_empty() {
            return rules.into_iter();
        }
        let view = self.world.view(&self.client.namespace, &self.client.labels);
        rules.retain(|rule| {
            let silent = self.silence(&view, rule);
            if let Some(silent) = &silent {
                notes.passed_over(|| (rule.title(), silent.to_string()));
            }
            silent.is_none()
        });
        rules.into_iter()
    }

    /// Every endpoint of the port that was dialled.
    pub(super) fn whole_service(&self) -> mesh::Backend {
        self.backend_of(self.service, self.port.port, None, 1)
            .unwrap_or_else(|unavailable| mesh::Backend {
                unavailable,
                ..Default::default()
            })
    }

    fn routes_of(&self, rule: &Rule<VirtualServiceSpec>, notes: &mut Notes) -> Vec<mesh::HttpRoute> {
        let mut routes: Vec<mesh::HttpRoute> = Vec::new();
        if rule.spec.http.is_empty() {
            notes.passed_over(|| (rule.title(), "it has no http rules".to_owned()));
        }
        let mut pieces = piece::pieces(self.world, rule).into_iter();
        for piece in pieces.by_ref() {
            let mut matches = Vec::new();
            let mut catch_all = piece.http.matches.is_empty();
            for (number, condition) in piece.http.matches.iter().enumerate() {
                let source = (&condition.source_labels, condition.source_namespace.as_deref());
                let mut pass_over = |why: Unselected<'_>| {
                    let why = || why.of(self.client, self.port.port);
                    notes.passed_over(|| (format!("{} match[{number}]", piece.name), why()));
                };
                if let Some(why) = self.unselected(condition.port, &condition.gateways, source) {
                    pass_over(why);
                    continue;
                }
                if piece.broken.contains(&number) {
                    pass_over(Unselected::Mistake);
                }
                matches.push(match piece.broken.contains(&number) {
                    // A rule must not match more than its author wrote.
                    true => matches::never(),
                    false => matches::published(condition),
                });
                catch_all = matches.last().is_some_and(matches::takes_all);
                if catch_all {
                    break;
                }
            }
            if !catch_all && matches.is_empty() {
                continue;
            }
            // What a rewrite replaces is what the match covers, so that a match before the last still says something.
            if catch_all && (matches.len() < 2 || piece.http.rewrite.is_none()) {
                matches.clear();
            }
            routes.push(mesh::HttpRoute {
                matches,
                ..self.route_of(&piece)
            });
            if catch_all {
                break;
            }
        }
        for piece in pieces {
            let last = routes.last().map(|route| route.name.as_str()).unwrap_or_default();
            notes.passed_over(|| {
                (
                    piece.name.clone(),
                    format!("{last} before it takes every request"),
                )
            });
        }
        routes
    }

    /// Weighted choices, of which those without a weight are left out; one alone has everything. `title` names the rule.
    fn weighted<'a>(
        &self,
        title: &str,
        destinations: impl Iterator<Item = (&'a Destination, i32)>,
    ) -> Vec<(usize, mesh::Backend)> {
        let all: Vec<_> = destinations
            .map(|(to, weight)| (to, u32::try_from(weight).unwrap_or_default()))
            .collect();
        let only = all.len() == 1;
        let chosen = all
            .iter()
            .enumerate()
            .filter(|(_, (_, weight))| only || *weight > 0);
        let backends: Vec<_> = chosen
            .map(|(index, (to, weight))| {
                let weight = if only { 1 } else { *weight };
                let backend = self
                    .backend(to, weight)
                    .unwrap_or_else(|unavailable| mesh::Backend {
                        weight,
                        unavailable,
                        ..Default::default()
                    });
                (index, backend)
            })
            .collect();
        match (all.is_empty(), backends.is_empty()) {
            (true, _) => vec![(0, nowhere(title, "has no route with a destination"))],
            (false, true) => vec![(
                0,
                nowhere(title, "has several destinations and no weight above 0"),
            )],
            (false, false) => backends,
        }
    }

    fn backend(&self, destination: &Destination, weight: u32) -> Result<mesh::Backend, String> {
        let host = &destination.host;
        let service = self.world.service_for(host, &self.client.namespace);
        let service = service.ok_or_else(|| format!("there is no service {host}"))?;
        let port = match (&destination.port, &service.ports[..]) {
            (Some(port), _) => port.number,
            (None, [only]) => only.port,
            (None, _) => self.port.port,
        };
        self.backend_of(service, port, destination.subset.as_deref(), weight)
    }

    /// Or, in words for whoever wrote the rule, why there is none.
    fn backend_of(
        &self,
        service: &Service,
        port: u16,
        subset: Option<&str>,
        weight: u32,
    ) -> Result<mesh::Backend, String> {
        let host = self.world.host_of(service);
        if service.port(port).is_none() {
            return Err(format!("service {host} has no port {port}"));
        }
        let rules = Rules::of(self.world, self.client, &service.key, &host);
        let found = subset.map(|name| {
            let found = rules.subset(name);
            found.ok_or_else(|| format!("subset {name} of {host} is in no DestinationRule"))
        });
        let found = found.transpose()?;
        let labels = found.map(|subset| subset.labels.clone()).unwrap_or_default();
        // Where the client dialled is known to be the service's only if it dialled this one, or if there is nothing else.
        let original = service.original_destination
            && subset.is_none()
            && (service.is_entry() || service.key == self.service.key);
        let mut backend = mesh::Backend {
            endpoints: match original {
                true => String::new(),
                false => resource_name(&host, port, &labels),
            },
            original_destination: original,
            weight,
            cluster: format!("outbound|{port}|{}|{host}", subset.unwrap_or_default()),
            ..Default::default()
        };
        policy::apply(&mut backend, &rules.parts(found, port), service, &host)
            .map_err(|why| format!("{} asks for {why}", rules.title()))?;
        Ok(backend)
    }
}

/// A choice that leads nowhere, with the reason.
fn nowhere(title: &str, why: &str) -> mesh::Backend {
    mesh::Backend {
        unavailable: format!("{title} {why}"),
        ..Default::default()
    }
}

/// Every destination of a rule that leads nowhere for a client of the rule's namespace, with the field that says so.
pub(super) fn dead_ends(world: &World, rule: &Rule<VirtualServiceSpec>) -> Vec<(String, String)> {
    let client = Client {
        namespace: rule.meta.key.namespace.clone(),
        ..Default::default()
    };
    let hosts = world.routed_by(rule);
    let services = hosts
        .iter()
        .filter_map(|host| world.service_for(host, &client.namespace));
    let dialled = services.flat_map(|service| service.ports.iter().map(move |port| (service, port)));
    let mut found = Vec::new();
    for (service, port) in dialled {
        let target = Target {
            world,
            client: &client,
            service,
            port,
            address: None,
        };
        let mut look = |field: String, to: &Destination, effect: &str| {
            if let Err(why) = target.backend(to, 1) {
                found.push((field, format!("{why}; {effect}")));
            }
        };
        let spec = &rule.spec;
        if protocol::of(port) != mesh::Protocol::Tcp {
            for (index, http) in spec.http.iter().enumerate() {
                for (number, to) in http.route.iter().enumerate() {
                    let field = format!("spec.http[{index}].route[{number}].destination");
                    look(field, &to.destination, "requests for it are answered with 503");
                }
                if let Some(mirror) = &http.mirror {
                    look(format!("spec.http[{index}].mirror"), mirror, "nothing is copied");
                }
                for (number, mirror) in http.mirrors.iter().enumerate() {
                    let field = format!("spec.http[{index}].mirrors[{number}].destination");
                    look(field, &mirror.destination, "nothing is copied");
                }
            }
        }
        if protocol::of(port) != mesh::Protocol::Http {
            let tls = spec.tls.iter().map(|tls| &tls.route).enumerate();
            let tcp = spec.tcp.iter().map(|tcp| &tcp.route).enumerate();
            for (kind, index, route) in tls
                .map(|(index, route)| ("tls", index, route))
                .chain(tcp.map(|(index, route)| ("tcp", index, route)))
            {
                for (number, to) in route.iter().enumerate() {
                    let field = format!("spec.{kind}[{index}].route[{number}].destination");
                    look(field, &to.destination, "connections for it are closed");
                }
            }
        }
    }
    found
}
