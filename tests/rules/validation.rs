//! One field after the other in an otherwise good VirtualService, and what the validation says of it.

use std::net::SocketAddr;

use outrigger::api::VirtualServiceSpec;
use outrigger::control::compile::{self, Client};
use outrigger::control::directory::{documents, events};
use outrigger::control::world::{Rule, World};
use serde_json::{Value, json};

use super::request;

/// `FIELD = YAML -> FINDING ; FINDING`, with `ok` for none. A finding is `!`, `~` or `?` (error, warning, unknown field), the
/// field that it is about (`.x` is below FIELD, nothing is FIELD itself), a colon, and its text.
pub(super) fn table(text: &str) {
    let (mut rows, mut differences) = (0, String::new());
    for (given, expected) in lines(text) {
        rows += 1;
        let (field, value) = field_of(given);
        let expected = match expected.trim() {
            "ok" => Vec::new(),
            findings => findings.split(" ; ").map(|one| full(field, one.trim())).collect(),
        };
        let seen = seen(field, value);
        if seen != expected {
            let lines = |all: &[String]| all.join("\n             ");
            differences += &format!(
                "\n{given}\n    is       {}\n    expected {}\n",
                lines(&seen),
                lines(&expected)
            );
        }
    }
    assert!(differences.is_empty(), "{differences}");
    assert!(rows > 100, "{rows}");
}

/// With such a field in it, a VirtualService is published in a form that the proxy takes: it would refuse all of a
/// service's routes for one that it cannot carry out.
pub(super) fn never_refused(text: &str, cluster: &str) {
    let address: SocketAddr = "10.96.1.3:7000".parse().expect("that of the service `any`");
    for (given, _) in lines(text) {
        let (field, value) = field_of(given);
        let mut object = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "a"},
            "spec": {"hosts": ["any"], "http": [{"route": [{"destination": {"host": "any"}}]}]},
        });
        set(&mut object, field, value);
        let text = format!("{cluster}\n---\n{object}\n");
        let read = documents(&[(given.to_owned(), text)]).and_then(|documents| events(&documents));
        // What cannot be read is not published either.
        let Ok(read) = read else { continue };
        let mut world = World::default();
        for event in read {
            world.apply(event);
        }
        let published = compile::service(&world, &Client::default(), address).expect("a service");
        assert!(
            !published.http_routes.is_empty() && !published.tcp_backends.is_empty(),
            "{given}"
        );
        if let Err(error) = request::ready(&published) {
            panic!("{given}: {error}");
        }
    }
}

/// What stands before and after the arrow.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        line.split_once(" -> ")
            .unwrap_or_else(|| panic!("{line}: no arrow"))
    })
}

fn field_of(given: &str) -> (&str, Value) {
    let (field, value) = given
        .split_once(" = ")
        .unwrap_or_else(|| panic!("{given}: no field"));
    let value = serde_saphyr::from_str(value.trim()).unwrap_or_else(|error| panic!("{given}: {error}"));
    (field.trim(), value)
}

fn full(field: &str, finding: &str) -> String {
    let (severity, rest) = finding.split_at(1);
    let (at, text) = rest
        .split_once(": ")
        .unwrap_or_else(|| panic!("{finding}: no text"));
    let at = match at.trim() {
        "" => field.to_owned(),
        below if below.starts_with(['.', '[']) => format!("{field}{below}"),
        other => other.to_owned(),
    };
    format!("{severity} {at}: {text}")
}

fn seen(field: &str, value: Value) -> Vec<String> {
    let mut object = json!({
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"hosts": ["a.example.com"], "http": [{"route": [{"destination": {"host": "a"}}]}]},
    });
    set(&mut object, field, value);
    let rule = match Rule::<VirtualServiceSpec>::read(&object) {
        Ok(rule) => rule,
        Err(error) => return vec![format!("! {}: {}", error.field, error.problem)],
    };
    let found = rule.findings;
    let of = |severity: &str, found: outrigger::api::Unsupported| -> Vec<String> {
        found
            .into_iter()
            .map(|(field, why)| format!("{severity} {field}: {why}"))
            .collect()
    };
    [
        of("!", found.errors),
        of("?", found.unknown),
        of("~", found.warnings),
    ]
    .concat()
}

/// Puts a value where a path such as `spec.http[0].match[1].uri` leads, and what is missing on the way.
fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for part in path.split('.') {
        let (name, indices) = part
            .split_once('[')
            .map_or((part, ""), |(name, rest)| (name, rest));
        place = &mut place[name];
        for index in indices.split('[').filter(|index| !index.is_empty()) {
            let index: usize = index.trim_end_matches(']').parse().expect("an index");
            if !place.is_array() {
                *place = json!([]);
            }
            let list = place.as_array_mut().expect("made above");
            while list.len() <= index {
                list.push(json!({}));
            }
            place = &mut list[index];
        }
    }
    *place = value;
}
