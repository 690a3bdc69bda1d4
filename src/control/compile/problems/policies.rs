//! What of a DestinationRule can only be seen together with the services, their endpoints and the other DestinationRules.

use std::collections::BTreeSet;

use crate::api::{DestinationRuleSpec, TrafficPolicy};
use crate::control::compile::endpoints;
use crate::control::compile::subset::resource_name;
use crate::control::world::{Rule, Service, World};

/// Fields, and what of them has not the effect that it seems to.
pub(super) fn of(world: &World, rule: &Rule<DestinationRuleSpec>) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let Some(host) = rule.hosts.first().filter(|host| !host.starts_with('*')) else {
        return found;
    };
    let Some(service) = world.service_by_host(host) else {
        // A name is looked for among the ServiceEntries' too; what is wrong with it as a name is said elsewhere.
        if !rule.findings.errors.contains_key("spec.host") {
            found.insert(("spec.host".to_owned(), format!("there is no service {host}")));
        }
        return found;
    };
    subsets(world, rule, service, host, &mut found);
    ports(rule, service, host, &mut found);
    older(world, rule, host, &mut found);
    found
}

/// Subsets that are nobody.
fn subsets(
    world: &World,
    rule: &Rule<DestinationRuleSpec>,
    service: &Service,
    host: &str,
    found: &mut BTreeSet<(String, String)>,
) {
    let any = |name: String| endpoints(world, &name).is_some_and(|told| !told.endpoints.is_empty());
    let mut ports = service.ports.iter().map(|port| port.port);
    // Without any endpoint there is nothing to be said of labels.
    let Some(port) = ports.find(|port| any(format!("{host}:{port}"))) else {
        return;
    };
    for (index, subset) in rule.spec.subsets.iter().enumerate() {
        if !subset.labels.is_empty() && !any(resource_name(host, port, &subset.labels)) {
            let why = format!("no endpoint of {host} has them; requests for it are answered with 503");
            found.insert((format!("spec.subsets[{index}].labels"), why));
        }
    }
}

fn ports(
    rule: &Rule<DestinationRuleSpec>,
    service: &Service,
    host: &str,
    found: &mut BTreeSet<(String, String)>,
) {
    let subsets = rule.spec.subsets.iter().enumerate();
    let of_subsets = subsets.map(|(index, subset)| {
        (
            format!("spec.subsets[{index}].trafficPolicy"),
            subset.traffic_policy.as_ref(),
        )
    });
    let of_host = ("spec.trafficPolicy".to_owned(), rule.spec.traffic_policy.as_ref());
    let policies = of_subsets.chain([of_host]);
    for (field, policy) in policies.filter_map(|(field, policy)| Some((field, policy?))) {
        let policy: &TrafficPolicy = policy;
        for (index, settings) in policy.port_level_settings.iter().enumerate() {
            let number = settings.port.as_ref().map_or(0, |port| port.number);
            if number > 0 && service.port(number).is_none() {
                let field = format!("{field}.portLevelSettings[{index}].port.number");
                found.insert((
                    field,
                    format!("service {host} has no port {number}; it has no effect"),
                ));
            }
        }
    }
}

/// What an older rule of the same namespace for the same host says already.
fn older(
    world: &World,
    rule: &Rule<DestinationRuleSpec>,
    host: &str,
    found: &mut BTreeSet<(String, String)>,
) {
    let alike = |other: &&Rule<DestinationRuleSpec>| {
        other.meta.key.namespace == rule.meta.key.namespace
            && other.hosts == rule.hosts
            && other.spec.workload_selector == rule.spec.workload_selector
    };
    let before: Vec<_> = world
        .destination_rules_for(host)
        .filter(alike)
        .take_while(|other| other.meta.key != rule.meta.key)
        .collect();
    if rule.spec.traffic_policy.is_some()
        && let Some(other) = before.iter().find(|other| other.spec.traffic_policy.is_some())
    {
        let why = format!(
            "{} has one for {host} too, and is older: this one is not used",
            other.title()
        );
        found.insert(("spec.trafficPolicy".to_owned(), why));
    }
    for (index, subset) in rule.spec.subsets.iter().enumerate() {
        let defines = |other: &&&Rule<DestinationRuleSpec>| {
            other.spec.subsets.iter().any(|other| other.name == subset.name)
        };
        if let Some(other) = before.iter().find(defines) {
            let why = format!(
                "{} defines {} too, and is older: its subset is used",
                other.title(),
                subset.name
            );
            found.insert((format!("spec.subsets[{index}].name"), why));
        }
    }
}
