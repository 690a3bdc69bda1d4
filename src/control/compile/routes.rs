//! The HTTP routes of one service for one client: the VirtualService that speaks for it, or the default.

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::string_match::Kind;

use super::subset::{Policy, resource_name};
use super::{Client, protocol};
use crate::api::{Destination, HttpMatchRequest, HttpRoute, StringMatch, VirtualServiceSpec};
use crate::control::world::{Rule, Service, ServicePort, World};

/// A regular expression that no text matches, for conditions that cannot be honoured.
const NEVER: &str = r"[^\s\S]";

/// Who asks, and for what.
pub(super) struct Target<'a> {
    pub(super) world: &'a World,
    pub(super) client: &'a Client,
    pub(super) service: &'a Service,
    pub(super) port: &'a ServicePort,
}

impl Target<'_> {
    /// Those of the first VirtualService that has any for this client; otherwise one that leads to every endpoint.
    pub(super) fn http_routes(&self) -> Vec<mesh::HttpRoute> {
        self.world
            .virtual_services_for(&self.world.host_of(self.service))
            .filter(|rule| rule.applies(&self.client.namespace, &self.service.key.namespace))
            .filter(|rule| is_for_mesh(&rule.spec.gateways))
            .map(|rule| self.routes_of(rule))
            .find(|routes| !routes.is_empty())
            .unwrap_or_else(|| {
                vec![mesh::HttpRoute {
                    name: "default".to_owned(),
                    matches: Vec::new(),
                    backends: vec![self.whole_service()],
                    ..Default::default()
                }]
            })
    }

    /// Every endpoint of the port that was dialled.
    pub(super) fn whole_service(&self) -> mesh::Backend {
        self.backend_of(self.service, self.port.port, None, 1)
            .unwrap_or_else(|unavailable| mesh::Backend {
                unavailable,
                ..Default::default()
            })
    }

    fn routes_of(&self, rule: &Rule<VirtualServiceSpec>) -> Vec<mesh::HttpRoute> {
        let mut routes = Vec::new();
        for (index, http) in rule.spec.http.iter().enumerate() {
            let field = format!("http[{index}]");
            let mut matches = Vec::new();
            let mut catch_all = http.matches.is_empty();
            for (number, condition) in http.matches.iter().enumerate() {
                if !self.selects(condition) {
                    continue;
                }
                let condition = match rule.has_mistake(&format!("spec.{field}.match[{number}].")) {
                    // A rule must not match more than its author wrote.
                    true => never(),
                    false => published(condition),
                };
                catch_all |= condition == mesh::HttpMatch::default();
                matches.push(condition);
            }
            if !catch_all && matches.is_empty() {
                continue;
            }
            if catch_all {
                matches.clear();
            }
            let name = format!("{} {field}", rule.title());
            routes.push(mesh::HttpRoute {
                backends: self.backends(rule, http, &field),
                name,
                matches,
                ..Default::default()
            });
            if catch_all {
                break;
            }
        }
        routes
    }

    /// What is known of the client and of what it dialled is decided here, not at the proxy.
    fn selects(&self, condition: &HttpMatchRequest) -> bool {
        let source = || {
            condition
                .source_namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == self.client.namespace)
                && condition
                    .source_labels
                    .iter()
                    .all(|(label, value)| self.client.labels.get(label) == Some(value))
        };
        let port = condition.port.is_none_or(|port| port == self.port.port);
        port && if condition.gateways.is_empty() {
            source()
        } else {
            is_for_mesh(&condition.gateways)
        }
    }

    fn backends(&self, rule: &Rule<VirtualServiceSpec>, http: &HttpRoute, field: &str) -> Vec<mesh::Backend> {
        let nowhere = |why: &str| {
            vec![mesh::Backend {
                unavailable: format!("{} {field} {why}", rule.title()),
                ..Default::default()
            }]
        };
        let only = http.route.len() == 1;
        let backends: Vec<_> = http
            .route
            .iter()
            .filter(|to| only || to.weight > 0)
            .map(|to| {
                let weight = if only { 1 } else { to.weight };
                self.backend(rule, &to.destination, weight)
                    .unwrap_or_else(|unavailable| mesh::Backend {
                        weight,
                        unavailable,
                        ..Default::default()
                    })
            })
            .collect();
        match (http.route.is_empty(), backends.is_empty()) {
            (true, _) => nowhere("has no route with a destination"),
            (false, true) => nowhere("has several destinations and no weight above 0"),
            (false, false) => backends,
        }
    }

    fn backend(
        &self,
        rule: &Rule<VirtualServiceSpec>,
        destination: &Destination,
        weight: u32,
    ) -> Result<mesh::Backend, String> {
        let host = self.world.resolve(&destination.host, &rule.meta.key.namespace);
        let service = self
            .world
            .service_by_host(&host)
            .ok_or_else(|| format!("there is no service {host}"))?;
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
        let policy = Policy::of(self.world, &self.client.namespace, &service.key, &host);
        let subset = match subset {
            Some(name) => {
                let found = policy.subset(name);
                Some(found.ok_or_else(|| format!("subset {name} of {host} is in no DestinationRule"))?)
            }
            None => None,
        };
        let labels = subset.map(|subset| subset.labels.clone()).unwrap_or_default();
        Ok(mesh::Backend {
            endpoints: resource_name(&host, port, &labels),
            weight,
            load_balancer: policy.load_balancer(subset).into(),
            unavailable: String::new(),
            ..Default::default()
        })
    }
}

/// Rules for gateways alone say nothing to a sidecar; without gateways they are for every sidecar.
pub(super) fn is_for_mesh(gateways: &[String]) -> bool {
    gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh")
}

fn published(condition: &HttpMatchRequest) -> mesh::HttpMatch {
    let headers = condition.headers.iter();
    mesh::HttpMatch {
        // Every path begins with a slash: Istio takes this for no condition as well.
        uri: condition
            .uri
            .as_ref()
            .and_then(text)
            .filter(|uri| uri.kind != Some(Kind::Prefix("/".to_owned()))),
        headers: headers
            .map(|(name, value)| mesh::HeaderMatch {
                name: name.to_ascii_lowercase(),
                value: text(value),
            })
            .collect(),
        ..Default::default()
    }
}

fn text(given: &StringMatch) -> Option<mesh::StringMatch> {
    let exact = given.exact.clone().map(Kind::Exact);
    let prefix = || given.prefix.clone().map(Kind::Prefix);
    let regex = || given.regex.clone().map(Kind::Regex);
    exact
        .or_else(prefix)
        .or_else(regex)
        .map(|kind| mesh::StringMatch { kind: Some(kind) })
}

fn never() -> mesh::HttpMatch {
    mesh::HttpMatch {
        uri: Some(mesh::StringMatch {
            kind: Some(Kind::Regex(NEVER.to_owned())),
        }),
        headers: Vec::new(),
        ..Default::default()
    }
}

/// Every destination of a rule that leads nowhere for a client of the rule's namespace, with the field that says so.
pub(super) fn dead_ends(world: &World, rule: &Rule<VirtualServiceSpec>) -> Vec<(String, String)> {
    let client = Client {
        namespace: rule.meta.key.namespace.clone(),
        ..Default::default()
    };
    let services = rule.hosts.iter().filter_map(|host| world.service_by_host(host));
    let dialled = services.flat_map(|service| service.ports.iter().map(move |port| (service, port)));
    let dialled = dialled.filter(|(_, port)| protocol::of(port) != mesh::Protocol::Tcp);
    let mut found = Vec::new();
    for (service, port) in dialled {
        let target = Target {
            world,
            client: &client,
            service,
            port,
        };
        for (index, http) in rule.spec.http.iter().enumerate() {
            for (number, to) in http.route.iter().enumerate() {
                if let Err(why) = target.backend(rule, &to.destination, 1) {
                    found.push((format!("spec.http[{index}].route[{number}].destination"), why));
                }
            }
        }
    }
    found
}
