//! Where connections that are not looked into go: the `tcp` and `tls` rules of the VirtualService that speaks for the service.
//! All that can be known of a connection is known here, but for the server name in a TLS ClientHello.

use outrigger_proxy::protocol::mesh;

use super::Target;
use crate::api::{L4MatchAttributes, RouteDestination, VirtualServiceSpec, names};
use crate::control::compile::considered::{Notes, Unselected};
use crate::control::compile::protocol;
use crate::control::world::Rule;

impl Target<'_> {
    /// Those of the first rule whose conditions hold; without one, every endpoint.
    pub(in crate::control::compile) fn tcp_backends(&self, notes: &mut Notes) -> Vec<mesh::Backend> {
        let found = self.speaking(notes).find_map(|rule| {
            let (index, tcp) = rule.spec.tcp.iter().enumerate().find(|(index, tcp)| {
                let mut matches = tcp.matches.iter().enumerate();
                tcp.matches.is_empty()
                    || matches.any(|(number, condition)| {
                        let field = format!("tcp[{index}].match[{number}]");
                        self.holds(rule, &field, condition, notes)
                    })
            })?;
            let field = format!("tcp[{index}]");
            notes.used(|| format!("{} {field}", rule.title()));
            Some(self.connections(rule, &field, &tcp.route))
        });
        found.unwrap_or_else(|| vec![self.whole_service()])
    }

    /// Those of the first VirtualService that has any for this client. Istio looks at server names where TLS is
    /// declared; an undeclared port may turn out to be TLS as well.
    pub(in crate::control::compile) fn tls_routes(&self, notes: &mut Notes) -> Vec<mesh::TlsRoute> {
        if !protocol::may_be_tls(self.port) {
            return Vec::new();
        }
        let mut rules = self.speaking(notes);
        let routes = rules.by_ref().map(|rule| self.tls_routes_of(rule, notes));
        routes
            .into_iter()
            .find(|routes| !routes.is_empty())
            .unwrap_or_default()
    }

    fn tls_routes_of(&self, rule: &Rule<VirtualServiceSpec>, notes: &mut Notes) -> Vec<mesh::TlsRoute> {
        let mut routes = Vec::new();
        for (index, tls) in rule.spec.tls.iter().enumerate() {
            let matches = tls.matches.iter().enumerate();
            let sni_hosts: Vec<_> = matches
                .filter(|(number, condition)| {
                    let field = format!("tls[{index}].match[{number}]");
                    self.holds(rule, &field, &condition.l4(), notes)
                })
                .flat_map(|(_, condition)| condition.sni_hosts.iter().map(|sni| sni.to_ascii_lowercase()))
                .collect();
            // Without any it would be for every name.
            if !sni_hosts.is_empty() {
                let field = format!("tls[{index}]");
                routes.push(mesh::TlsRoute {
                    backends: self.connections(rule, &field, &tls.route),
                    name: format!("{} {field}", rule.title()),
                    sni_hosts,
                });
            }
        }
        routes
    }

    /// A match with a mistake never holds.
    fn holds(
        &self,
        rule: &Rule<VirtualServiceSpec>,
        field: &str,
        condition: &L4MatchAttributes,
        notes: &mut Notes,
    ) -> bool {
        let source = (&condition.source_labels, condition.source_namespace.as_deref());
        let subnets = &condition.destination_subnets;
        let within = |address| {
            let mut subnets = subnets.iter().filter_map(|subnet| names::subnet(subnet).ok());
            subnets.any(|subnet| subnet.contains(&address))
        };
        let why = if rule.has_mistake(&format!("spec.{field}")) {
            Some(Unselected::Mistake)
        } else if !subnets.is_empty() && !self.address.is_some_and(within) {
            Some(Unselected::Subnets(subnets))
        } else {
            self.unselected(condition.port, &condition.gateways, source)
        };
        if let Some(why) = &why {
            let why = || why.of(self.client, self.port.port);
            notes.passed_over(|| (format!("{} {field}", rule.title()), why()));
        }
        why.is_none()
    }

    fn connections(
        &self,
        rule: &Rule<VirtualServiceSpec>,
        field: &str,
        route: &[RouteDestination],
    ) -> Vec<mesh::Backend> {
        let destinations = route.iter().map(|to| (&to.destination, to.weight));
        let weighted = self.weighted(&format!("{} {field}", rule.title()), destinations);
        weighted.into_iter().map(|(_, backend)| backend).collect()
    }
}
