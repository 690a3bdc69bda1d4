//! What differs between a pod and the pod it became, by name and not by position: `spec.containers[app].livenessProbe`,
//! `metadata.annotations[a/b]`. Knows nothing of Outrigger. Before it: a patch that was applied. After it: `properties`.

use serde_json::{Map, Value};

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Difference {
    /// Where, in the words of a status' `replaced`.
    pub(super) at: String,
    pub(super) kind: Kind,
}

/// What is different.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Not there before, or not in this place among its siblings.
    Added,
    Removed,
    Changed,
    /// What was there before is in another order.
    Reordered,
}

/// All differences, each at the deepest place that names it.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = vec![];
    compare(before, after, "", &mut found);
    found
}

fn compare(before: &Value, after: &Value, at: &str, found: &mut Vec<Difference>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => objects(before, after, at, found),
        (Value::Array(before), Value::Array(after)) if is_named(before) && is_named(after) => {
            lists(before, after, at, found)
        }
        _ => {
            // Text, so that the order of keys counts.
            let [before, after] = [before, after].map(Value::to_string);
            if before != after {
                note(found, at, Kind::Changed);
            }
        }
    }
}

fn objects(before: &Map<String, Value>, after: &Map<String, Value>, at: &str, found: &mut Vec<Difference>) {
    for (key, old) in before {
        match after.get(key) {
            Some(new) => compare(old, new, &member(at, key), found),
            None => note(found, &member(at, key), Kind::Removed),
        }
    }
    for key in after.keys().filter(|key| !before.contains_key(*key)) {
        note(found, &member(at, key), Kind::Added);
    }
    let kept = after.keys().filter(|key| before.contains_key(*key));
    if !kept.eq(before.keys().filter(|key| after.contains_key(*key))) {
        note(found, at, Kind::Reordered);
    }
}

fn lists(before: &[Value], after: &[Value], at: &str, found: &mut Vec<Difference>) {
    let find = |list: &[Value], name: &Value| list.iter().position(|item| item["name"] == *name);
    let item = |value: &Value| format!("{at}[{}]", value["name"].as_str().unwrap_or_default());
    for old in before {
        match find(after, &old["name"]) {
            Some(index) => compare(old, &after[index], &item(old), found),
            None => note(found, &item(old), Kind::Removed),
        }
    }
    for new in after.iter().filter(|new| find(before, &new["name"]).is_none()) {
        note(found, &item(new), Kind::Added);
    }
    let kept = after.iter().filter_map(|new| find(before, &new["name"]));
    if !kept.is_sorted() {
        note(found, at, Kind::Reordered);
    }
}

/// A list whose items are told apart by their names.
fn is_named(list: &[Value]) -> bool {
    let names: Vec<_> = list
        .iter()
        .map(|item| item.get("name").and_then(Value::as_str))
        .collect();
    let unique = |(index, name): (usize, &Option<&str>)| name.is_some() && !names[..index].contains(name);
    names.iter().enumerate().all(unique)
}

/// The path of a member; the keys of labels and annotations have dots and slashes and stand in brackets.
fn member(at: &str, key: &str) -> String {
    match at {
        "" => key.into(),
        "metadata.labels" | "metadata.annotations" => format!("{at}[{key}]"),
        _ => format!("{at}.{key}"),
    }
}

fn note(found: &mut Vec<Difference>, at: &str, kind: Kind) {
    found.push(Difference { at: at.into(), kind });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_found_by_name() {
        let before = json!({
            "metadata": {"labels": {"a/b": "c", "d": "e"}},
            "spec": {"containers": [{"name": "app", "env": [{"name": "A"}], "n": 1}, {"name": "b"}], "args": ["x", "y"]},
        });
        let mut after = before.clone();
        assert_eq!(differences(&before, &after), []);
        after["metadata"]["labels"] = json!({"d": "f", "a/b": "c", "g": "h"});
        after["spec"]["containers"] =
            json!([{"name": "b"}, {"name": "z"}, {"name": "app", "env": [{"name": "A", "value": ""}]}]);
        after["spec"]["args"] = json!(["y", "x"]);
        let found: Vec<_> = differences(&before, &after)
            .into_iter()
            .map(|it| (it.at, it.kind))
            .collect();
        let expected = [
            ("metadata.labels[d]", Kind::Changed),
            ("metadata.labels[g]", Kind::Added),
            ("metadata.labels", Kind::Reordered),
            ("spec.containers[app].env[A].value", Kind::Added),
            ("spec.containers[app].n", Kind::Removed),
            ("spec.containers[z]", Kind::Added),
            ("spec.containers", Kind::Reordered),
            ("spec.args", Kind::Changed),
        ];
        assert_eq!(found, expected.map(|(at, kind)| (at.to_string(), kind)));
    }
}
