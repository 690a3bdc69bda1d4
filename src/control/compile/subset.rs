//! What DestinationRules say of a host to a client: which endpoints a subset is, and how one of them is picked.

use std::collections::BTreeMap;

use outrigger_proxy::protocol::mesh::LoadBalancer;

use crate::api::{DestinationRuleSpec, SimpleLb, Subset, TrafficPolicy};
use crate::control::world::{Key, Rule, World};

/// The DestinationRules that a client follows for a host.
pub(super) struct Policy<'a> {
    /// All of one namespace; the first says how to balance, subsets are those of all of them.
    rules: Vec<&'a Rule<DestinationRuleSpec>>,
}

impl<'a> Policy<'a> {
    /// Those of the client's namespace if there is one for this host, else those of the service's namespace.
    pub(super) fn of(world: &'a World, client_namespace: &str, service: &Key, host: &str) -> Self {
        let usable: Vec<_> = world
            .destination_rules_for(host)
            .filter(|rule| rule.applies(client_namespace, &service.namespace))
            // It means only some of the clients, and which ones is not known here.
            .filter(|rule| !rule.has_mistake("spec.workloadSelector"))
            .collect();
        let nearest = usable
            .iter()
            .find(|rule| rule.meta.key.namespace == client_namespace)
            .or(usable.first())
            .map(|rule| (&rule.meta.key.namespace, &rule.hosts));
        let rules = usable
            .iter()
            .filter(|rule| nearest == Some((&rule.meta.key.namespace, &rule.hosts)))
            .copied()
            .collect();
        Self { rules }
    }

    pub(super) fn subset(&self, name: &str) -> Option<&'a Subset> {
        self.rules
            .iter()
            .flat_map(|rule| &rule.spec.subsets)
            .find(|subset| subset.name == name)
    }

    /// The subset's own choice before the host's; Istio's default is LEAST_REQUEST.
    pub(super) fn load_balancer(&self, subset: Option<&Subset>) -> LoadBalancer {
        let of_host = self
            .rules
            .first()
            .and_then(|rule| rule.spec.traffic_policy.as_ref());
        let simple = subset
            .and_then(|subset| simple(subset.traffic_policy.as_ref()))
            .or_else(|| simple(of_host))
            .unwrap_or(SimpleLb::Unspecified);
        match simple {
            SimpleLb::RoundRobin => LoadBalancer::RoundRobin,
            SimpleLb::Random => LoadBalancer::Random,
            SimpleLb::Unspecified | SimpleLb::LeastConn | SimpleLb::LeastRequest | SimpleLb::Passthrough => {
                LoadBalancer::LeastRequest
            }
        }
    }
}

fn simple(policy: Option<&TrafficPolicy>) -> Option<SimpleLb> {
    policy?.load_balancer.as_ref()?.simple
}

/// The resource name of endpoints: "HOST:PORT", or "HOST:PORT/LABEL=VALUE,LABEL=VALUE".
pub(super) fn resource_name(host: &str, port: u16, labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<_> = labels
        .iter()
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    match labels.is_empty() {
        true => format!("{host}:{port}"),
        false => format!("{host}:{port}/{}", labels.join(",")),
    }
}
