//! What in the rules does not do what it says: for the log (`feed` says each of them once) and for the objects' statuses.
//! What an object says alone is in its findings; here it is seen together with the rest of the world.

mod together;

use std::collections::BTreeSet;

use super::entries;
use crate::api::Findings;
use crate::control::world::{Key, Rule, RuleSpec, World};

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
    let mut found = BTreeSet::new();
    for rule in world.virtual_services() {
        alone(rule, &mut found);
        for (field, why) in together::of(world, rule) {
            found.insert(problem(rule, Severity::Warning, field, why));
        }
    }
    for rule in world.destination_rules() {
        alone(rule, &mut found);
    }
    for rule in world.service_entries() {
        alone(rule, &mut found);
        for (field, why) in entries::problems(world, rule) {
            found.insert(problem(rule, Severity::Warning, field, why));
        }
    }
    for rule in world.sidecars() {
        alone(rule, &mut found);
    }
    found
}

fn alone<S: RuleSpec>(rule: &Rule<S>, found: &mut BTreeSet<Problem>) {
    let Findings {
        errors,
        unknown,
        warnings,
    } = &rule.findings;
    for (severity, fields) in [(Severity::Error, errors), (Severity::Warning, unknown)] {
        for (field, why) in fields {
            let effect = if why.contains(';') {
                ""
            } else if field.contains(".match[") {
                "; this match never holds"
            } else if field == "spec.workloadSelector" {
                "; the whole rule has no effect"
            } else {
                "; it has no effect"
            };
            found.insert(problem(rule, severity, field.clone(), format!("{why}{effect}")));
        }
    }
    for (field, why) in warnings {
        found.insert(problem(rule, Severity::Warning, field.clone(), why.clone()));
    }
}

fn problem<S: RuleSpec>(rule: &Rule<S>, severity: Severity, field: String, problem: String) -> Problem {
    Problem {
        object: rule.title(),
        kind: S::KIND,
        key: rule.meta.key.clone(),
        generation: rule.meta.generation,
        severity,
        field,
        problem,
    }
}
