//! The condition `outrigger.dev/Accepted`: what it says for which problems, and how it takes its place among those of others.
//! Pure. A part of `status`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Id;
use crate::control::compile::{Problem, Severity};

/// The condition's type.
pub(super) const TYPE: &str = "outrigger.dev/Accepted";
/// The longest message, in bytes; Kubernetes' own conditions take 32 KiB, and nobody reads that.
const LONGEST: usize = 4096;
/// The longest note of an Event that Kubernetes takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// False if something in it cannot mean anything.
    pub(crate) accepted: bool,
    pub(super) reason: String,
    /// A line for each problem.
    pub(crate) message: String,
}

impl Said {
    /// Nothing is wrong.
    pub(super) fn accepted() -> Self {
        Self {
            accepted: true,
            reason: "Accepted".to_owned(),
            message: String::new(),
        }
    }

    /// What an object says already.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let conditions = object["status"]["conditions"].as_array()?;
        let ours = conditions.iter().find(|condition| condition["type"] == TYPE)?;
        let text = |field: &str| ours[field].as_str().unwrap_or_default().to_owned();
        Some(Self {
            accepted: ours["status"] == "True",
            reason: text("reason"),
            message: text("message"),
        })
    }

    pub(crate) fn is_well(&self) -> bool {
        *self == Self::accepted()
    }

    /// For an Event.
    pub(super) fn note(&self) -> String {
        match self.is_well() {
            true => "nothing is wrong any more".to_owned(),
            false => shortened(self.message.clone(), LONGEST_NOTE),
        }
    }
}

/// What each object with problems is to say.
pub(super) fn said(problems: &BTreeSet<Problem>) -> BTreeMap<Id, Said> {
    let mut of_objects: BTreeMap<Id, Vec<&Problem>> = BTreeMap::new();
    for problem in problems {
        let id = Id {
            kind: problem.kind,
            key: problem.key.clone(),
            uid: problem.uid.clone(),
        };
        of_objects.entry(id).or_default().push(problem);
    }
    let said = of_objects.into_iter().map(|(id, problems)| {
        let accepted = problems.iter().all(|it| it.severity != Severity::Error);
        let lines = problems.iter().map(|it| format!("{}: {}", it.field, it.problem));
        let said = Said {
            accepted,
            reason: if accepted { "Warnings" } else { "Invalid" }.to_owned(),
            message: shortened(lines.collect::<Vec<_>>().join("\n"), LONGEST),
        };
        (id, said)
    });
    said.collect()
}

/// The object's conditions with ours as it should be, or `None` if it is so already.
pub(super) fn with(object: &Value, said: &Said, now: Timestamp) -> Option<Vec<Value>> {
    let found = Said::of(object);
    // One that never had a problem has no condition.
    if found.as_ref() == Some(said) || found.is_none() && said.is_well() {
        return None;
    }
    let status = if said.accepted { "True" } else { "False" };
    let mut ours = json!({"type": TYPE, "status": status, "reason": said.reason, "message": said.message});
    let others = object["status"]["conditions"].as_array();
    let mut conditions = others.cloned().unwrap_or_default();
    let place = conditions.iter().position(|condition| condition["type"] == TYPE);
    let since = place
        .map(|place| &conditions[place])
        .filter(|it| it["status"] == status);
    ours["lastTransitionTime"] = match since {
        Some(same) => same["lastTransitionTime"].clone(),
        None => now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
    };
    match place {
        Some(place) => conditions[place] = ours,
        None => conditions.push(ours),
    }
    Some(conditions)
}

fn shortened(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::world::Key;

    fn problem(name: &str, severity: Severity, field: &str) -> Problem {
        Problem {
            object: format!("VirtualService shop/{name}"),
            kind: "VirtualService",
            key: Key::new("shop", name),
            uid: format!("uid of {name}"),
            generation: 1,
            severity,
            field: field.to_owned(),
            problem: "it has no effect".to_owned(),
        }
    }

    #[test]
    fn an_object_says_all_that_is_wrong_with_it() {
        let problems = [
            problem("a", Severity::Warning, "spec.x"),
            problem("b", Severity::Warning, "spec.x"),
            problem("b", Severity::Error, "spec.y"),
        ];
        let said = said(&problems.into());
        let id = |name: &str| Id {
            kind: "VirtualService",
            key: Key::new("shop", name),
            uid: format!("uid of {name}"),
        };
        let of = |name: &str| &said[&id(name)];
        assert_eq!(of("a").reason, "Warnings");
        assert!(of("a").accepted && !of("b").accepted);
        assert_eq!(
            of("b").message,
            "spec.y: it has no effect\nspec.x: it has no effect"
        );
        let long = [problem("a", Severity::Error, &"ä".repeat(10_000))];
        let said = super::said(&long.into());
        let message = &said[&id("a")].message;
        assert!(message.len() <= LONGEST && message.ends_with('…'));
    }

    #[test]
    fn conditions_of_others_stay() {
        let (early, late) = (
            Timestamp::from_second(1_800_000_000).expect("a time"),
            Timestamp::from_second(1_800_000_060).expect("a time"),
        );
        let bad = |field: &str| {
            said(&[problem("a", Severity::Error, field)].into())
                .into_values()
                .next()
        };
        let (bad, worse) = (bad("spec.x").expect("said"), bad("spec.y").expect("said"));
        let others = json!({"type": "Reconciled", "status": "True"});
        let bare = json!({"status": {"conditions": [others]}});
        assert_eq!(with(&bare, &Said::accepted(), early), None);

        let object = |conditions: Vec<Value>| json!({"status": {"conditions": conditions}});
        let first = object(with(&bare, &bad, early).expect("a change"));
        assert_eq!(first["status"]["conditions"][0], others);
        assert_eq!(Said::of(&first), Some(bad.clone()));
        assert_eq!(with(&first, &bad, late), None);

        let time = |object: &Value| object["status"]["conditions"][1]["lastTransitionTime"].clone();
        let second = object(with(&first, &worse, late).expect("a change"));
        assert_eq!(time(&second), time(&first), "it was False before");
        let third = object(with(&second, &Said::accepted(), late).expect("a change"));
        assert_eq!(third["status"]["conditions"][1]["status"], "True");
        assert_ne!(time(&third), time(&first));
    }
}
