//! What holds for every pod: injection adds and says what it added, a second one is empty, it can be undone to the byte, it breaks
//! no rule of Kubernetes, and what it refuses it names. `PROPTEST_CASES=100000` looks longer. Before it: `strategy`.

use json_patch::Patch;
use outrigger::settings::Settings;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use super::difference::{Difference, Kind, differences};
use super::strategy::{BAD, OURS, json, pods, settings, wild};
use super::{applied, decided, decided_with, kubernetes, started, undone};

const STATUS: &str = "outrigger.dev/status";
const PROBES: [&str; 4] = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"];

/// As proptest's own, but fewer pods unless more are asked for, and the same each time: a failure is somebody's change and
/// not bad luck.
pub(crate) fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(4),
        fixed => fixed,
    };
    ProptestConfig {
        cases: if asked { config.cases } else { 64 },
        rng_seed,
        failure_persistence: None,
        ..config
    }
}

/// The pod with its sidecar, if it gets one.
fn injected(pod: &Value) -> Option<Value> {
    injected_with(pod, &Settings::default())
}

fn injected_with(pod: &Value, settings: &Settings) -> Option<Value> {
    let injection = decided_with(pod, settings)
        .ok()
        .filter(|injection| injection.reason.injects())?;
    Some(applied(pod, &injection.patch))
}

fn status(pod: &Value) -> Value {
    let text = pod["metadata"]["annotations"][STATUS].as_str().expect("a status");
    serde_json::from_str(text).expect("a status of JSON")
}

/// The differences that the status does not tell of.
fn untold(before: &Value, after: &Value) -> Vec<Difference> {
    let status = status(after);
    let list = |field: &str| status[field].as_array().cloned().unwrap_or_default();
    let named = |field: &str, at: &str| {
        let names = list(field);
        names
            .iter()
            .map(|name| format!("{at}[{}]", name.as_str().expect("a name")))
            .collect::<Vec<_>>()
    };
    let created = list("created");
    let created = created.iter().map(|it| {
        it.as_str()
            .expect("a pointer")
            .trim_start_matches('/')
            .replace('/', ".")
    });
    let mut added = [
        named("initContainers", "spec.initContainers"),
        named("containers", "spec.containers"),
        named("volumes", "spec.volumes"),
        named("labels", "metadata.labels"),
        named("annotations", "metadata.annotations"),
        created.collect(),
    ]
    .concat();
    added.push(format!("metadata.annotations[{STATUS}]"));
    let replaced = list("replaced");
    let replaced: Vec<_> = replaced
        .iter()
        .map(|it| it["at"].as_str().expect("a place"))
        .collect();
    let taken = list("taken");
    let taken: Vec<_> = taken
        .iter()
        .map(|it| format!("spec.{}", it["list"].as_str().expect("a list")))
        .collect();
    let told = |difference: &Difference| {
        let within = |at: &&str| {
            let rest = difference.at.strip_prefix(at);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        (difference.kind == Kind::Added && added.contains(&difference.at))
            || taken.iter().any(|list| moved(difference, list))
            || replaced.iter().any(within)
    };
    differences(before, after)
        .into_iter()
        .filter(|difference| !told(difference))
        .collect()
}

/// Whether this is the author's proxy container, which was taken out of its list and merged over ours.
fn moved(difference: &Difference, list: &str) -> bool {
    let place = difference.at.strip_prefix(list);
    place.is_some_and(|rest| rest.starts_with("[outrigger-proxy]"))
        || (place == Some("") && difference.kind == Kind::Reordered)
}

/// Whether the pod has a value that must be refused, and which: what the refusal has to name.
fn faults(pod: &Value) -> Vec<(&str, &str)> {
    let annotation = |key: &str| pod["metadata"]["annotations"][key].as_str();
    BAD.iter()
        .filter_map(|(key, values)| {
            annotation(key)
                .filter(|value| values.contains(value))
                .map(|value| (*key, value))
        })
        .collect()
}

/// A broken rule without the list that it was broken in: the author's own proxy container may move to the other.
fn placed(rule: &str) -> String {
    rule.replace("spec.initContainers[", "spec.containers[")
}

/// A container that another webhook puts into the pod: a list, a place in it and the container.
fn insertion() -> impl Strategy<Value = (&'static str, Index, Value)> {
    let donor = pods().prop_map(|mut pod| pod["spec"]["containers"][0].take());
    (
        select(vec!["containers", "initContainers"]),
        any::<Index>(),
        donor,
    )
}

fn insert(pod: &mut Value, list: &str, index: Index, mut container: Value) {
    container["name"] = "between".into();
    if list == "initContainers" {
        container["restartPolicy"] = "Always".into();
    }
    // Its mount may name a volume that this pod lacks.
    container
        .as_object_mut()
        .expect("a container")
        .shift_remove("volumeMounts");
    let list = pod["spec"][list].as_array_mut().expect("a list");
    let index = index.index(list.len() + 1);
    list.insert(index, container);
}

/// The rules of Kubernetes that a pod breaks with its sidecar and not without.
fn broken(before: &Value, after: &Value) -> Vec<String> {
    let before: Vec<_> = kubernetes::violations(before)
        .iter()
        .map(|rule| placed(rule))
        .collect();
    let after = kubernetes::violations(after).into_iter();
    after.filter(|rule| !before.contains(&placed(rule))).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_differs_but_what_the_status_tells(pod in pods()) {
        if let Some(after) = injected(&pod) {
            prop_assert_eq!(untold(&pod, &after), []);
        }
    }

    #[test]
    fn a_pod_is_left_alone_or_gets_a_sidecar(pod in pods()) {
        if let Ok(injection) = decided(&pod) {
            prop_assert_eq!(injection.patch.is_empty(), !injection.reason.injects());
            let after = applied(&pod, &injection.patch);
            let proxy = started::container(&after, "outrigger-proxy").is_some();
            prop_assert!(proxy || !injection.reason.injects());
        }
    }

    #[test]
    fn injecting_twice_is_injecting_once(pod in pods()) {
        if let Some(once) = injected(&pod) {
            let second = decided(&once).expect("an injected pod is fine");
            prop_assert_eq!(second.reason.code(), "already_injected");
            prop_assert!(second.patch.is_empty(), "{}", second.patch);
        }
    }

    #[test]
    fn a_container_in_between_changes_itself_alone(pod in pods(), (list, index, container) in insertion()) {
        if let Some(mut once) = injected(&pod).filter(|once| once["spec"][list].is_array()) {
            insert(&mut once, list, index, container);
            let twice = applied(&once, &decided(&once).expect("an injected pod is fine").patch);
            let mut own = PROBES.map(|probe| format!("spec.{list}[between].{probe}")).to_vec();
            own.extend([
                format!("metadata.annotations[{STATUS}]"),
                "spec.initContainers[outrigger-proxy].env".into(),
                "spec.containers[outrigger-proxy].env".into(),
            ]);
            let other = |it: &Difference| !own.iter().any(|own| it.at.starts_with(own.as_str()));
            let others: Vec<_> = differences(&once, &twice).into_iter().filter(other).collect();
            prop_assert_eq!(others, []);
            prop_assert!(decided(&twice).expect("still fine").patch.is_empty());
        }
    }

    #[test]
    fn undoing_gives_the_pod_back_to_the_byte(pod in pods()) {
        if let Some(after) = injected(&pod) {
            prop_assert_eq!(undone(&after).to_string(), pod.to_string());
        }
    }

    #[test]
    fn a_bad_value_is_refused_by_name(pod in pods()) {
        let faults = faults(&pod);
        match decided(&pod) {
            Ok(injection) => prop_assert!(faults.is_empty() || !injection.reason.injects(), "{:?}", faults),
            Err(refusal) => {
                let text = refusal.to_string();
                let fault = faults.iter().any(|(key, value)| text.contains(key) && text.contains(&format!("{value:?}")));
                let taken = OURS.iter().any(|name| text.contains(name) && pod.to_string().contains(name));
                prop_assert!(fault || taken, "{text}");
            }
        }
    }

    #[test]
    fn the_patch_is_rfc_6902_and_overwrites_nothing(pod in wild()) {
        if let Ok(injection) = decided(&pod) {
            let text = injection.patch.to_string();
            let patch: Value = serde_json::from_str(&text).expect("JSON");
            let mut pod = pod;
            for operation in patch.as_array().expect("a list") {
                let path = operation["path"].as_str().expect("a path");
                let (parent, last) = path.rsplit_once('/').expect("no operation is on the whole pod");
                let parent = pod.pointer(parent);
                prop_assert!(parent.is_some(), "{path} has no parent");
                let add = operation["op"] == "add";
                let there = pod.pointer(path).is_some();
                match parent.expect("a parent") {
                    Value::Object(_) => prop_assert_eq!(there, !add, "{}", operation),
                    Value::Array(list) if add => {
                        let end = last == "-" || last == list.len().to_string();
                        prop_assert!(there || end, "{operation}");
                    }
                    _ => prop_assert!(there, "{operation}"),
                }
                let one: Patch = serde_json::from_value(json!([operation])).expect("an operation");
                json_patch::patch(&mut pod, &one).expect("it applies");
            }
        }
    }

    #[test]
    fn anything_else_in_a_place_of_a_pod_is_borne(pod in wild()) {
        if let Some(after) = injected(&pod) {
            prop_assert_eq!(undone(&after).to_string(), pod.to_string());
            let again = decided(&after).expect("an injected pod is fine");
            prop_assert!(again.patch.is_empty(), "{}", again.patch);
        }
    }

    #[test]
    fn what_is_no_pod_is_refused_with_a_sentence(value in json()) {
        match decided(&value) {
            Ok(_) => prop_assert!(value["spec"]["containers"].is_array()),
            Err(refusal) => prop_assert!(refusal.to_string().contains("must be"), "{refusal}"),
        }
    }

    #[test]
    fn no_rule_of_kubernetes_is_broken_anew(pod in pods()) {
        if let Some(after) = injected(&pod) {
            prop_assert_eq!(broken(&pod, &after), Vec::<String>::new());
        }
    }

    #[test]
    fn the_proxy_takes_what_it_is_started_with(pod in pods()) {
        if let Some(after) = injected(&pod) {
            started::read(&after, &pod);
        }
    }

    #[test]
    fn all_of_this_holds_for_other_settings(pod in pods(), settings in settings()) {
        if let Some(after) = injected_with(&pod, &settings) {
            prop_assert_eq!(untold(&pod, &after), []);
            prop_assert_eq!(broken(&pod, &after), Vec::<String>::new());
            prop_assert_eq!(undone(&after).to_string(), pod.to_string());
            started::read(&after, &pod);
            let second = decided_with(&after, &settings).expect("an injected pod is fine");
            prop_assert!(second.patch.is_empty(), "{}", second.patch);
        }
    }
}
