//! What in the rules does not do what it says, for the log: `feed` says each of them once.

use std::collections::BTreeSet;

use super::routes::{dead_ends, is_for_mesh};
use crate::control::world::{Rule, RuleSpec, World};

/// Something in a rule that has no effect or leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// For instance `VirtualService default/helloworld`.
    pub object: String,
    /// Which version of the object; a change of its spec is a reason to say it again.
    pub generation: i64,
    /// For instance `spec.http[0].timeout`.
    pub field: String,
    /// What is wrong and what happens instead.
    pub problem: String,
}

/// Everything that is wrong with the rules as the world is now.
pub fn problems(world: &World) -> BTreeSet<Problem> {
    let mut found = BTreeSet::new();
    for rule in world.virtual_services() {
        without_effect(rule, &mut found);
        if !is_for_mesh(&rule.spec.gateways) {
            continue;
        }
        for (field, why) in dead_ends(world, rule) {
            found.insert(problem(
                rule,
                field,
                format!("{why}; requests for it are answered with 503"),
            ));
        }
        let local = format!(".svc.{}", world.cluster_domain);
        for (index, host) in rule.hosts.iter().enumerate() {
            if host.starts_with('*') || world.service_by_host(host).is_some() {
                continue;
            }
            let field = format!("spec.hosts[{index}]");
            if host.ends_with(&local) {
                found.insert(problem(rule, field, format!("there is no service {host}")));
            } else {
                let why = format!(
                    "{host} is not the full name of a Kubernetes service, so that nothing is routed by it"
                );
                found.insert(problem(rule, field, why));
            }
        }
        for (index, http) in rule.spec.http.iter().enumerate() {
            if http.route.is_empty() {
                let why = "has no destination; requests for it are answered with 503";
                found.insert(problem(rule, format!("spec.http[{index}].route"), why.to_owned()));
            } else if http.route.len() > 1 && http.route.iter().all(|to| to.weight == 0) {
                let why = "no destination has a weight above 0; requests for it are answered with 503";
                found.insert(problem(rule, format!("spec.http[{index}].route"), why.to_owned()));
            }
            for (number, condition) in http.matches.iter().enumerate() {
                let source = !condition.source_labels.is_empty() || condition.source_namespace.is_some();
                if source && !condition.gateways.is_empty() {
                    let why = "gateways make sourceLabels and sourceNamespace be ignored, as in Istio";
                    found.insert(problem(
                        rule,
                        format!("spec.http[{index}].match[{number}].gateways"),
                        why.to_owned(),
                    ));
                }
            }
        }
    }
    for rule in world.destination_rules() {
        without_effect(rule, &mut found);
    }
    found
}

fn without_effect<S: RuleSpec>(rule: &Rule<S>, found: &mut BTreeSet<Problem>) {
    for (field, why) in &rule.unsupported {
        let effect = if field.contains(".match[") {
            "; this match never holds"
        } else if field == "spec.workloadSelector" {
            "; the whole rule has no effect"
        } else {
            "; it has no effect"
        };
        found.insert(problem(rule, field.clone(), format!("{why}{effect}")));
    }
}

fn problem<S: RuleSpec>(rule: &Rule<S>, field: String, problem: String) -> Problem {
    Problem {
        object: rule.title(),
        generation: rule.meta.generation,
        field,
        problem,
    }
}
