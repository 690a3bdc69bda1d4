//! What in the rules does not do what it says: for the log (`feed` says each of them once) and for the objects' statuses.
//! What an object says alone is in its findings; here it is seen together with the rest of the world.

mod policies;
mod together;

use std::collections::BTreeSet;

use super::entries;
use crate::api::Findings;
use crate::control::world::{Key, Kind, Rule, RuleKey, RuleSpec, World};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot mean anything: a validating webhook refuses it.
    Error,
    /// It means something, though not what it seems to, or something that it names is missing.
    Warning,
}

/// Something in a rule that has no effect or leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// For instance `VirtualService default/helloworld`.
    pub object: String,
    /// For instance `VirtualService`.
    pub kind: &'static str,
    /// The object's namespace and name.
    pub key: Key,
    /// Of this very object, not of one of the same name before it.
    pub uid: String,
    /// Which version of the object; a change of its spec is a reason to say it again.
    pub generation: i64,
    /// How bad it is.
    pub severity: Severity,
    /// For instance `spec.http[0].timeout`.
    pub field: String,
    /// What is wrong and what happens instead.
    pub problem: String,
}

/// Everything that is wrong with the rules as the world is now.
pub fn problems(world: &World) -> BTreeSet<Problem> {
    let rules = world.rules();
    rules.iter().flat_map(|rule| problems_of(world, rule)).collect()
}

/// What is wrong with one of them; nothing if there is no such rule.
pub fn problems_of(world: &World, (kind, key): &RuleKey) -> BTreeSet<Problem> {
    let mut found = BTreeSet::new();
    match kind {
        Kind::VirtualService => {
            if let Some(rule) = world.virtual_service(key) {
                judge(rule, together::of(world, rule), &mut found);
            }
        }
        Kind::DestinationRule => {
            if let Some(rule) = world.destination_rule(key) {
                judge(rule, policies::of(world, rule), &mut found);
            }
        }
        Kind::ServiceEntry => {
            if let Some(rule) = world.service_entry(key) {
                judge(rule, entries::problems(world, rule), &mut found);
            }
        }
        Kind::WorkloadEntry => {
            if let Some(rule) = world.workload_entry(key) {
                judge(rule, entries::problems_of_workload(world, rule), &mut found);
            }
        }
        Kind::Sidecar => {
            if let Some(rule) = world.sidecar(key) {
                judge(rule, [], &mut found);
            }
        }
        // No rules.
        Kind::Namespace | Kind::Node | Kind::Pod | Kind::Service | Kind::EndpointSlice | Kind::PodAddress => {
        }
    }
    found
}

/// What a rule says alone, and what was found out about it together with the rest of the world.
fn judge<S: RuleSpec>(
    rule: &Rule<S>,
    together: impl IntoIterator<Item = (String, String)>,
    found: &mut BTreeSet<Problem>,
) {
    alone(rule, found);
    let together = together.into_iter();
    found.extend(together.map(|(field, why)| problem(rule, Severity::Warning, field, why)));
}

fn alone<S: RuleSpec>(rule: &Rule<S>, found: &mut BTreeSet<Problem>) {
    let Findings {
        errors,
        unknown,
        warnings,
    } = &rule.findings;
    for (field, why) in errors {
        let why = format!("{why}; {}", effect(field));
        found.insert(problem(rule, Severity::Error, field.clone(), why));
    }
    for (field, why) in unknown {
        let effect = match field.contains(".match[") || field == "spec.workloadSelector" {
            true => effect(field),
            false => "it has no effect",
        };
        found.insert(problem(
            rule,
            Severity::Warning,
            field.clone(),
            format!("{why}; {effect}"),
        ));
    }
    for (field, why) in warnings {
        found.insert(problem(rule, Severity::Warning, field.clone(), why.clone()));
    }
}

/// What becomes of a field that cannot mean anything. A rule never matches more than its author wrote.
fn effect(field: &str) -> &'static str {
    let rule = field.ends_with(']') || field.ends_with(".route") || field.contains(".destination");
    // What is asked of a connection and cannot be given is never left out in silence.
    let connection =
        field.contains(".tls.") || field.ends_with(".tunnel") || field.ends_with(".proxyProtocol");
    if field.contains(".match[") {
        "this match never holds"
    } else if connection {
        "requests for it are answered with 503"
    } else if field == "spec.workloadSelector" {
        "the whole rule has no effect"
    } else if field.starts_with("spec.http[")
        && !field.contains(".mirror")
        && (rule && !field.contains("].corsPolicy")
            || field.contains("].redirect")
            || field.contains("].directResponse"))
    {
        "requests for it are answered with 503"
    } else if rule && (field.starts_with("spec.tcp[") || field.starts_with("spec.tls[")) {
        "connections for it are closed"
    } else {
        "it has no effect"
    }
}

fn problem<S: RuleSpec>(rule: &Rule<S>, severity: Severity, field: String, problem: String) -> Problem {
    Problem {
        object: rule.title(),
        kind: S::KIND,
        key: rule.meta.key.clone(),
        uid: rule.meta.uid.clone(),
        generation: rule.meta.generation,
        severity,
        field,
        problem,
    }
}
