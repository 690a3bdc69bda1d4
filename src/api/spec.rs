//! Reading an object so that nothing in it is lost silently: an error names the field, and what has no effect is listed.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A field whose value has the wrong shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidField {
    /// For instance `spec.http[0].route[1].weight`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What is set in a spec and has no effect: the path below the object (`spec.http[0].timeout`) and why.
pub type Unsupported = BTreeMap<String, String>;

/// What there is to say about an object by itself, by field (`spec.http[0].timeout`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What cannot mean anything. A validating webhook refuses it; without one it has no effect.
    pub errors: Unsupported,
    /// Fields that are not known here and have no effect.
    pub unknown: Unsupported,
    /// What means something else than it seems to.
    pub warnings: Unsupported,
}

impl Findings {
    /// Notes what cannot mean anything.
    pub fn error(&mut self, field: impl Into<String>, problem: impl AsRef<str>) {
        note(&mut self.errors, field.into(), problem.as_ref());
    }

    /// Notes what means something else than it seems to.
    pub fn warning(&mut self, field: impl Into<String>, problem: impl AsRef<str>) {
        note(&mut self.warnings, field.into(), problem.as_ref());
    }

    /// Notes what is wrong, if it is.
    pub fn check<T>(&mut self, field: impl Into<String>, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|problem| self.error(field, problem)).ok()
    }

    /// Whether something at or below this field has no effect.
    pub fn has_mistake(&self, field: &str) -> bool {
        self.has_error(field) || is_below(&self.unknown, field)
    }

    /// Whether something at or below this field cannot mean anything.
    pub fn has_error(&self, field: &str) -> bool {
        is_below(&self.errors, field)
    }
}

fn is_below(found: &Unsupported, field: &str) -> bool {
    let next = found.range(field.to_owned()..).next();
    next.is_some_and(|(path, _)| path.starts_with(field))
}

fn note(noted: &mut Unsupported, field: String, problem: &str) {
    let text = noted.entry(field).or_default();
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(problem);
}

/// Reads `value` as a `T`.
///
/// # Errors
/// Names the first field that is missing or has the wrong shape.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, InvalidField> {
    serde_path_to_error::deserialize(value).map_err(|error| InvalidField {
        field: error.path().to_string(),
        problem: error.into_inner().to_string(),
    })
}

/// Reads `object`'s `spec`, and lists the fields of it that `S` does not know.
///
/// # Errors
/// Names the first field that is missing or has the wrong shape.
pub fn read_spec<S: DeserializeOwned + Serialize>(object: &Value) -> Result<(S, Unsupported), InvalidField> {
    #[derive(Deserialize)]
    struct Object<S> {
        spec: S,
    }
    let Object { spec } = read::<Object<S>>(object)?;
    let kept = serde_json::to_value(&spec).map_err(|error| InvalidField {
        field: "spec".to_owned(),
        problem: error.to_string(),
    })?;
    let mut unsupported = Unsupported::new();
    compare(&object["spec"], &kept, "spec", &mut unsupported);
    Ok((spec, unsupported))
}

/// What survives reading and writing back is what is supported; everything else is noted.
fn compare(given: &Value, kept: &Value, path: &str, unsupported: &mut Unsupported) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (name, value) in given {
                let path = format!("{path}.{name}");
                match kept.get(name) {
                    Some(kept) => compare(value, kept, &path, unsupported),
                    None => {
                        unsupported.insert(path, "is not a field that is known here".to_owned());
                    }
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                compare(given, kept, &format!("{path}[{index}]"), unsupported);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::VirtualServiceSpec;

    #[test]
    fn names_what_has_no_effect_and_what_is_wrong() {
        let rows = [
            (
                json!({"spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}}),
                Ok(vec![]),
            ),
            (
                json!({"spec": {"hosts": ["a"], "udp": [], "http": [{"timout": "1s", "match": [{"methods": {"exact": "GET"}}]}]}}),
                Ok(vec![
                    "spec.http[0].match[0].methods",
                    "spec.http[0].timout",
                    "spec.udp",
                ]),
            ),
            (
                json!({"spec": {"hosts": "a"}}),
                Err("spec.hosts: invalid type: string \"a\", expected a sequence"),
            ),
            (
                json!({"spec": {"http": [{"route": [{"destination": {"subset": "v1"}}]}]}}),
                Err("spec.http[0].route[0].destination: missing field `host`"),
            ),
            (json!({}), Err(".: missing field `spec`")),
        ];
        for (object, expected) in rows {
            let seen = read_spec::<VirtualServiceSpec>(&object)
                .map(|(_, unsupported)| unsupported.into_keys().collect::<Vec<_>>())
                .map_err(|error| error.to_string());
            assert_eq!(
                seen,
                expected
                    .map(|fields| fields.into_iter().map(String::from).collect())
                    .map_err(String::from),
                "{object}"
            );
        }
    }
}
