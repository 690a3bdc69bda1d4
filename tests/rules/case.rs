//! One case of a table: objects, rows and the problems that there are to tell. A document of a file.

use std::collections::BTreeSet;

use outrigger::control::compile::{self, Severity};
use outrigger::control::directory::{documents, events};
use outrigger::control::world::World;
use serde_json::{Value, json};

pub(super) struct Case {
    pub(super) title: String,
    /// What stands before and after the arrow.
    pub(super) rows: Vec<Row>,
    /// As `! VirtualService reviews spec.http[0].timeout: …`.
    pub(super) problems: BTreeSet<String>,
    /// Kinds and names, for which problems are compared.
    pub(super) objects: Vec<String>,
    pub(super) manifests: Vec<Value>,
}

pub(super) struct Row {
    pub(super) asked: String,
    pub(super) expected: String,
    /// What comes of it on the wire, where the outcome does not say: the target that the pod gets, or the Location.
    pub(super) seen: Option<String>,
}

impl Case {
    pub(super) fn all(text: &str) -> Vec<Self> {
        let documents = text.split("\n---\n").map(|text| {
            serde_saphyr::from_str::<Value>(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
        });
        documents
            .filter(|document| !document.is_null())
            .map(|document| Self::of(&document))
            .collect()
    }

    fn of(document: &Value) -> Self {
        let mut case = Self {
            title: document["case"].as_str().expect("case: what it shows").to_owned(),
            rows: Vec::new(),
            problems: BTreeSet::new(),
            objects: Vec::new(),
            manifests: Vec::new(),
        };
        for (key, value) in document.as_object().expect("an object") {
            match key.as_str() {
                "case" => {}
                "rows" => {
                    let rows = lines(value).map(|line| {
                        let row = line
                            .split_once(" -> ")
                            .or(line.strip_suffix(" ->").map(|left| (left, "")));
                        let (asked, expected) = row.unwrap_or_else(|| panic!("{line}: no arrow"));
                        let (expected, seen) = match expected.split_once(" => ") {
                            Some((expected, seen)) => (expected, Some(words(seen))),
                            None => (expected, None),
                        };
                        Row {
                            asked: words(asked),
                            expected: words(expected),
                            seen,
                        }
                    });
                    case.rows = rows.collect();
                }
                "problems" => case.problems = lines(value).map(str::to_owned).collect(),
                _ => case.add(key, value),
            }
        }
        case
    }

    /// `KIND NAME[.NAMESPACE][ CREATED]`
    fn add(&mut self, key: &str, spec: &Value) {
        let mut parts = key.split(' ');
        let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let created = parts.next().map(|year| format!("{year}-01-01T00:00:00Z"));
        let (name, namespace) = name.split_once('.').unwrap_or((name, "default"));
        let version = match kind {
            "Service" => "v1",
            "VirtualService" | "DestinationRule" | "ServiceEntry" | "WorkloadEntry" | "Sidecar" => {
                "networking.istio.io/v1"
            }
            _ => panic!("{key}: of what kind?"),
        };
        let metadata = json!({"name": name, "namespace": namespace, "creationTimestamp": created});
        self.objects.push(format!("{kind} {namespace}/{name}"));
        self.manifests
            .push(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}));
    }

    /// The cluster with this case's objects in it.
    pub(super) fn world(&self, cluster: &str) -> World {
        let mut text = cluster.to_owned();
        for manifest in &self.manifests {
            text += &format!("\n---\n{manifest}\n");
        }
        let read = documents(&[(self.title.clone(), text)]);
        let read = read.and_then(|documents| events(&documents));
        let mut world = World::new("cluster.local".to_owned(), Vec::new());
        for event in read.unwrap_or_else(|faults| panic!("{}: {faults:#?}", self.title)) {
            world.apply(event);
        }
        world
    }
}

/// What there is to say about these objects: `!` cannot mean anything, `~` means something else than it seems to.
pub(super) fn problems(world: &World, objects: &[String]) -> BTreeSet<String> {
    let all = compile::problems(world).into_iter();
    let all = all
        .filter(|problem| objects.contains(&problem.object))
        .map(|problem| {
            let severity = match problem.severity {
                Severity::Error => '!',
                Severity::Warning => '~',
            };
            let object = problem.object.replace("default/", "");
            super::outcome::short(&format!(
                "{severity} {object} {}: {}",
                problem.field, problem.problem
            ))
        });
    all.collect()
}

fn lines(value: &Value) -> impl Iterator<Item = &str> {
    let lines = value.as_str().expect("rows as text").lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
