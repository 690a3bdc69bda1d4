//! Manifests: YAML documents as objects, and what is wrong with them by file, line, object and field.

use std::path::Path;

use kube::api::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::api::{
    self, DestinationRuleSpec, InvalidField, ServiceEntrySpec, SidecarSpec, VirtualServiceSpec,
    WorkloadEntrySpec,
};
use crate::control::world::{Object, Rule, RuleSpec};

/// One YAML document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, as it was named.
    pub file: String,
    /// Its first line in the file, counted from 1.
    pub line: u64,
    /// What it says; namespaced objects without a namespace are in `default`.
    pub value: Value,
    text: String,
}

/// What is wrong, in a form that editors can jump to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// Counted from 1.
    pub line: u64,
    /// `KIND NAMESPACE/NAME FIELD: what is wrong`, with as much of it as is known.
    pub problem: String,
}

impl Fault {
    pub(super) fn of_file(path: &Path, problem: &str) -> Self {
        Self {
            file: path.display().to_string(),
            line: 1,
            problem: problem.to_owned(),
        }
    }
}

/// An object of which only the metadata matter.
#[derive(Deserialize)]
struct Bare {
    metadata: ObjectMeta,
}

/// Reads texts by the names of their files. Documents without contents are left out, and a List is what is in it.
///
/// # Errors
/// Every document that is not YAML or not an object.
pub fn documents(files: &[(String, String)]) -> Result<Vec<Document>, Vec<Fault>> {
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for (file, text) in files {
        for (line, text) in split(text) {
            let fault = |line: u64, problem: String| Fault {
                file: file.clone(),
                line,
                problem,
            };
            match yaml::<Value>(&text) {
                Ok(Value::Null) => {}
                Ok(value @ Value::Object(_)) => unpack(file, line, (value, text), ("", ""), &mut read),
                Ok(_) => faults.push(fault(
                    line,
                    "is not an object with apiVersion and kind".to_owned(),
                )),
                // Nothing but comments.
                Err(_)
                    if text
                        .lines()
                        .all(|line| line.trim().is_empty() || line.starts_with('#')) => {}
                Err(error) => {
                    let error = error.without_snippet();
                    let at = error
                        .location()
                        .map_or(0, |location| location.line().saturating_sub(1));
                    faults.push(fault(line + at, error.to_string()));
                }
            }
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

/// The object that a document is, or those in it if it is a List, or a List of Lists, as `kubectl apply` takes them.
fn unpack(
    file: &str,
    line: u64,
    (mut value, text): (Value, String),
    implied: (&str, &str),
    read: &mut Vec<Document>,
) {
    let word = |field: &str, implied: &str| value[field].as_str().unwrap_or(implied).to_owned();
    let (version, kind) = (word("apiVersion", implied.0), word("kind", implied.1));
    if let Some((items, of)) = api::items(&value, (&version, &kind)) {
        let mut lines = lines_of_items(&text).into_iter();
        for item in items {
            // Of an item in an item no line is known but that of the outer one.
            let line = line + lines.next().unwrap_or(0);
            // One line of JSON, so that nothing is looked for further down.
            unpack(file, line, (item.clone(), item.to_string()), of, read);
        }
        return;
    }
    for (field, implied) in [("apiVersion", implied.0), ("kind", implied.1)] {
        if !implied.is_empty()
            && let Some(object) = value.as_object_mut()
        {
            object.entry(field).or_insert_with(|| implied.into());
        }
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert_with(|| "default".into());
    }
    read.push(Document {
        file: file.to_owned(),
        line,
        value,
        text,
    });
}

/// How many lines are before each item of a List.
fn lines_of_items(text: &str) -> Vec<u64> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Spanned<Value>>,
    }
    let list = yaml::<List>(text).map(|list| list.items).unwrap_or_default();
    let line = |item: &Spanned<Value>| item.referenced.line().saturating_sub(1);
    list.iter().map(line).collect()
}

/// The documents of a file with the number of their first lines, as `kubectl` separates them.
fn split(text: &str) -> Vec<(u64, String)> {
    let mut documents = vec![(1, String::new())];
    for (number, line) in (1..).zip(text.lines()) {
        if line
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim().is_empty() || rest.starts_with(" #"))
        {
            documents.push((number + 1, String::new()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents
}

impl Document {
    /// The object, if it is of a kind that the control plane uses.
    ///
    /// # Errors
    /// Names the field that is malformed.
    pub fn object(&self) -> Result<Option<Object>, Fault> {
        let word = |field: &str| self.value.get(field).and_then(Value::as_str).unwrap_or_default();
        Ok(Some(match (word("apiVersion"), word("kind")) {
            ("v1", "Namespace") => Object::Namespace(self.typed::<Bare>()?.metadata.into()),
            ("v1", "Service") => Object::Service(self.typed::<k8s_openapi::api::core::v1::Service>()?.into()),
            ("v1", "Node") => Object::Node(self.typed::<Bare>()?.metadata.into()),
            ("v1", "Pod") => Object::Pod(self.typed::<Bare>()?.metadata.into()),
            ("discovery.k8s.io/v1", "EndpointSlice") => Object::EndpointSlice(
                self.typed::<k8s_openapi::api::discovery::v1::EndpointSlice>()?
                    .into(),
            ),
            (version, "VirtualService") if version.starts_with("networking.istio.io/") => {
                Object::VirtualService(self.rule::<VirtualServiceSpec>()?)
            }
            (version, "DestinationRule") if version.starts_with("networking.istio.io/") => {
                Object::DestinationRule(Box::new(self.rule::<DestinationRuleSpec>()?))
            }
            (version, "ServiceEntry") if version.starts_with("networking.istio.io/") => {
                Object::ServiceEntry(Box::new(self.rule::<ServiceEntrySpec>()?))
            }
            (version, "WorkloadEntry") if version.starts_with("networking.istio.io/") => {
                Object::WorkloadEntry(Box::new(self.rule::<WorkloadEntrySpec>()?))
            }
            (version, "Sidecar") if version.starts_with("networking.istio.io/") => {
                Object::Sidecar(self.rule::<SidecarSpec>()?)
            }
            ("", _) => return Err(self.fault::<Value>(&missing("apiVersion"))),
            (_, "") => return Err(self.fault::<Value>(&missing("kind"))),
            _ => return Ok(None),
        }))
    }

    /// Where the pod is that it is, if it says so.
    ///
    /// # Errors
    /// Names the field that is malformed.
    pub fn address(&self) -> Result<Option<Object>, Fault> {
        let says = self.value.pointer("/status/podIP").is_some();
        if !says || self.value["kind"] != "Pod" || self.value["apiVersion"] != "v1" {
            return Ok(None);
        }
        let pod = self.typed::<k8s_openapi::api::core::v1::Pod>()?;
        Ok(Some(Object::PodAddress(pod.into())))
    }

    fn typed<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        self.named()?;
        api::read(&self.value).map_err(|error| self.fault::<T>(&error))
    }

    fn rule<S: RuleSpec>(&self) -> Result<Rule<S>, Fault> {
        #[derive(Deserialize)]
        struct Whole<S> {
            #[serde(rename = "metadata")]
            _metadata: ObjectMeta,
            #[serde(rename = "spec")]
            _spec: S,
        }
        self.named()?;
        Rule::read(&self.value).map_err(|error| self.fault::<Whole<S>>(&error))
    }

    fn named(&self) -> Result<(), Fault> {
        match self.value.pointer("/metadata/name").and_then(Value::as_str) {
            Some(name) if !name.is_empty() => Ok(()),
            _ => Err(self.fault::<Value>(&missing("metadata.name"))),
        }
    }

    /// The line is found by reading the text once more as what it should be.
    fn fault<T: DeserializeOwned>(&self, error: &InvalidField) -> Fault {
        let again = yaml::<T>(&self.text).err();
        let at = again.and_then(|error| error.without_snippet().location());
        let word = |pointer: &str| self.value.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
        Fault {
            file: self.file.clone(),
            line: self.line + at.map_or(0, |location| location.line().saturating_sub(1)),
            problem: format!(
                "{} {}/{} {error}",
                word("/kind"),
                word("/metadata/namespace"),
                word("/metadata/name")
            ),
        }
    }
}

/// Only `true` and `false` are booleans, so that labels such as `y` and `no` stay text.
fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
}

fn missing(field: &str) -> InvalidField {
    InvalidField {
        field: field.to_owned(),
        problem: "is missing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Vec<String>, Vec<String>> {
        let texts = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        let read = documents(&[("rules.yaml".to_owned(), text.to_owned())]).map_err(texts)?;
        let objects: Result<Vec<_>, _> = read.iter().map(Document::object).collect();
        let objects = objects.map_err(|fault| texts(vec![fault]))?;
        Ok(objects
            .iter()
            .flatten()
            .map(|object| format!("{} {}", object.kind(), object.key()))
            .collect())
    }

    #[test]
    fn documents_are_read_and_faults_are_named() {
        let rows: [(&str, Result<&[&str], &str>); 13] = [
            ("# nothing\n---\n", Ok(&[])),
            (
                "kind: Service\napiVersion: v1\nmetadata: {name: a}\n---\nkind: Pod\napiVersion: v1\nmetadata: {name: p, namespace: n}\n",
                Ok(&["Service default/a", "Pod n/p"]),
            ),
            (
                "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: a}\n",
                Ok(&[]),
            ),
            (
                "kind: VirtualService\napiVersion: networking.istio.io/v1alpha3\nmetadata: {name: a}\nspec: {hosts: [a]}\n",
                Ok(&["VirtualService default/a"]),
            ),
            (
                "---\nkind: VirtualService\napiVersion: networking.istio.io/v1\nmetadata: {name: a}\nspec:\n  hosts:\n    a: b\n",
                Err(
                    "rules.yaml:7: VirtualService default/a spec.hosts: invalid type: map, expected a sequence",
                ),
            ),
            (
                "kind: Service\napiVersion: v1\nmetadata: {}\n",
                Err("rules.yaml:1: Service default/? metadata.name: is missing"),
            ),
            (
                "apiVersion: v1\nmetadata: {name: a}\n",
                Err("rules.yaml:1: ? default/a kind: is missing"),
            ),
            (
                "- a\n",
                Err("rules.yaml:1: is not an object with apiVersion and kind"),
            ),
            ("kind: Pod\n---\na: b\nc: [\n", Err("rules.yaml:")),
            (
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n- apiVersion: v1\n  kind: List\n  items:\n  - {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: n}}\n",
                Ok(&["Service default/a", "Pod n/p"]),
            ),
            (
                "kind: VirtualServiceList\napiVersion: networking.istio.io/v1\nmetadata: {resourceVersion: ''}\nitems:\n- {metadata: {name: a}, spec: {hosts: [a]}}\n",
                Ok(&["VirtualService default/a"]),
            ),
            (
                "---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n- apiVersion: v1\n  kind: Service\n  metadata: {}\n",
                Err("rules.yaml:6: Service default/? metadata.name: is missing"),
            ),
            (
                "apiVersion: v1\nkind: List\nitems: [1]\n",
                Err("rules.yaml:3: ? ?/? apiVersion: is missing"),
            ),
        ];
        for (text, expected) in rows {
            match (check(text), expected) {
                (Ok(seen), Ok(expected)) => assert_eq!(seen, expected, "{text}"),
                (Err(seen), Err(expected)) => {
                    assert!(
                        seen.len() == 1 && seen[0].starts_with(expected),
                        "{text} gives {seen:?}"
                    );
                }
                (seen, expected) => panic!("{text} gives {seen:?}, not {expected:?}"),
            }
        }
    }
}
