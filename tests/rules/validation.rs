//! One field after the other in an otherwise good VirtualService, and what the validation says of it.

use outrigger::api::VirtualServiceSpec;
use outrigger::control::world::Rule;
use serde_json::{Value, json};

/// `FIELD = YAML -> FINDING ; FINDING`, with `ok` for none. A finding is `!`, `~` or `?` (error, warning, unknown field), the
/// field that it is about (`.x` is below FIELD, nothing is FIELD itself), a colon, and its text.
pub(super) fn table(text: &str) {
    let (mut rows, mut differences) = (0, String::new());
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        rows += 1;
        let (given, expected) = line
            .split_once(" -> ")
            .unwrap_or_else(|| panic!("{line}: no arrow"));
        let (field, value) = given
            .split_once(" = ")
            .unwrap_or_else(|| panic!("{line}: no field"));
        let field = field.trim();
        let value: Value =
            serde_saphyr::from_str(value.trim()).unwrap_or_else(|error| panic!("{line}: {error}"));
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
