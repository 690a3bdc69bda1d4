//! `outrigger inject` and `uninject` on files: YAML or JSON documents in, the same documents with or without proxies out.
//! What is not ours comes out byte for byte. Before it: the command line. After it: `document` (texts and values),
//! `workload` (where the pod templates are), `splice` (a patch as a change of text).

mod document;
mod edit;
mod emit;
mod lines;
mod render;
mod splice;
mod style;
#[cfg(test)]
mod tests;
mod texts;
mod tree;
mod workload;

use std::collections::BTreeMap;

use json_patch::Patch;
use serde_json::Value;

use super::decide::DEFAULT_REVISION;
use super::pod::Pod;
use super::{Namespace, Refusal, consider, undo};
use crate::settings::Settings;
use document::Document;
pub use splice::SpliceError;
use texts::Texts;
use workload::Workload;

/// How documents are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// As they were: only what changes is written, in the style of what is around it.
    #[default]
    Yaml,
    /// One JSON value per document, as kubectl reads them.
    Json,
}

/// What became of a file.
#[derive(Debug)]
pub struct Outcome {
    /// All documents, in their order.
    pub text: String,
    /// What was done to each workload and why; for stderr.
    pub notes: Vec<String>,
}

/// Why a document can be neither changed nor left alone.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML (or JSON, which is YAML).
    #[error("{0}")]
    Yaml(Box<serde_saphyr::Error>),
    /// The change has no place in the text.
    #[error("{0}")]
    Splice(#[from] SpliceError),
    /// A workload's pod template is not what it must be.
    #[error("line {line}, {object}: {refusal}")]
    Refused {
        /// Where the document begins in the file, counted from 1.
        line: usize,
        /// Kind, namespace and name.
        object: String,
        /// What is wrong.
        refusal: Refusal,
    },
}

/// Injects every workload of a file as if its namespace asked for a proxy by its label; a pod template's own wish
/// to stay out is respected. API versions that are no longer served become those that replaced them.
///
/// # Errors
/// The file's errors (no more than about a hundred), never a part of its text.
pub fn inject(text: &str, settings: &Settings, format: Format) -> Result<Outcome, Vec<ManifestError>> {
    each_document(text, format, |value, workload, plan| {
        injection(value, workload, settings, plan)
    })
}

/// Takes out of every workload of a file what [`inject`] put in, or the webhook. What `inject` made of a file becomes that
/// file again, byte for byte, but for API versions that were upgraded.
///
/// # Errors
/// The file's errors (no more than about a hundred), never a part of its text.
pub fn uninject(text: &str, format: Format) -> Result<Outcome, Vec<ManifestError>> {
    each_document(text, format, removal)
}

/// Appends a file's text to those of others, so that its documents stay documents of their own.
pub fn append(text: &mut String, file: &str) {
    if text.is_empty() {
        text.push_str(file);
        return;
    }
    let file = file.trim_start_matches('\u{feff}');
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let content = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    text.push_str(match file.lines().find(content) {
        _ if file.starts_with("---") => "",
        // A directive may only come after the end of a document.
        Some(line) if line.starts_with('%') => "...\n",
        _ => "---\n",
    });
    text.push_str(file);
}

/// A pod of a file, or what the pods of a workload are made from.
#[derive(Debug)]
pub struct FilePod {
    /// Kind, namespace and name of the object.
    pub title: String,
    /// The pod or the pod template.
    pub value: Value,
    /// The namespace that the object names, empty if it leaves that to the command that creates it.
    pub namespace: String,
    /// The labels that its namespace is taken to have: those that ask for a proxy.
    pub namespace_labels: BTreeMap<String, String>,
}

/// Every pod and pod template of a file, in its order.
///
/// # Errors
/// The first document that cannot be read.
pub fn pods(text: &str, settings: &Settings) -> Result<Vec<FilePod>, ManifestError> {
    let mut pods = vec![];
    for document in document::split(text) {
        let Some(value) = document.parse().map_err(ManifestError::Yaml)? else {
            continue;
        };
        for workload in workload::find(&value) {
            let template = workload.template(&value);
            let template = template.map_err(|refusal| ManifestError::Refused {
                line: document.line,
                object: workload.title.clone(),
                refusal,
            })?;
            pods.push(FilePod {
                value: template.clone(),
                title: workload.title,
                namespace: workload.namespace,
                namespace_labels: asking(settings),
            });
        }
    }
    Ok(pods)
}

/// The label of a namespace that asks for a proxy of these settings.
pub(crate) fn asking(settings: &Settings) -> BTreeMap<String, String> {
    let revision = &settings.injection.revision;
    let (key, value) = match *revision == DEFAULT_REVISION {
        true => ("istio-injection", "enabled"),
        false => ("istio.io/rev", revision.as_str()),
    };
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

/// Errors of one file after which no more are looked for: it is no manifest.
const ENOUGH: usize = 100;

/// What is to happen to one document.
#[derive(Default)]
struct Plan {
    patch: Patch,
    texts: Texts,
    notes: Vec<String>,
}

impl Plan {
    /// Adds operations whose paths begin at `at`.
    fn extend(&mut self, at: &str, operations: Vec<json_patch::PatchOperation>) {
        let operations = operations.into_iter();
        self.patch
            .0
            .extend(operations.map(|operation| workload::moved(at, operation)));
    }
}

fn each_document(
    text: &str,
    format: Format,
    plan: impl Fn(&Value, &Workload, &mut Plan) -> Result<(), Refusal>,
) -> Result<Outcome, Vec<ManifestError>> {
    let mut output = String::with_capacity(text.len() * 2);
    let (mut notes, mut errors) = (vec![], vec![]);
    for document in document::split(text) {
        match changed(&document, format, &plan, &mut notes) {
            Ok(written) => output.push_str(&written),
            Err(found) => errors.extend(found),
        }
        if errors.len() >= ENOUGH {
            break;
        }
    }
    match errors.is_empty() {
        true => Ok(Outcome { text: output, notes }),
        false => Err(errors),
    }
}

fn changed(
    document: &Document,
    format: Format,
    make: impl Fn(&Value, &Workload, &mut Plan) -> Result<(), Refusal>,
    notes: &mut Vec<String>,
) -> Result<String, Vec<ManifestError>> {
    let line = document.line;
    let parsed = document
        .parse()
        .map_err(|error| vec![ManifestError::Yaml(error)])?;
    let Some(mut value) = parsed else {
        return Ok(match format {
            Format::Yaml => document.text.into(),
            Format::Json => String::new(),
        });
    };
    let (mut plan, mut errors) = (Plan::default(), vec![]);
    for workload in workload::find(&value) {
        if let Err(refusal) = make(&value, &workload, &mut plan) {
            errors.push(ManifestError::Refused {
                line,
                object: workload.title,
                refusal,
            });
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    notes.append(&mut plan.notes);
    match format {
        Format::Yaml if plan.patch.0.is_empty() => Ok(document.text.into()),
        Format::Yaml => plan
            .texts
            .splice(document, &value, plan.patch)
            .map_err(|error| vec![error.into()]),
        Format::Json => {
            let refused = |error| vec![SpliceError::Patch { line, error }.into()];
            json_patch::patch(&mut value, &plan.patch).map_err(refused)?;
            Ok(format!("{value:#}\n"))
        }
    }
}

fn injection(
    value: &Value,
    workload: &Workload,
    settings: &Settings,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let title = &workload.title;
    if let Some(upgrade) = workload.upgrade(value)? {
        plan.notes.push(format!("{title}: {}", upgrade.note));
        plan.texts.forget(&workload.at, &upgrade.operations);
        plan.extend(&workload.at, upgrade.operations);
    }
    let template = workload.template(value)?;
    let labels = asking(settings);
    let pod = Pod::read(template, workload.path)?;
    let owner = workload.owner.as_deref();
    let namespace = Namespace {
        name: &workload.namespace,
        labels: &labels,
        uid_range: None,
    };
    let injection = consider(template, &pod, owner, &namespace, settings)?;
    if injection.reason.injects() {
        plan.notes.push(format!("{title}: injected"));
    } else {
        let because = injection.reason.because();
        plan.notes
            .push(format!("{title}: not injected, because {because}"));
    }
    let warnings = injection.warnings.iter();
    plan.notes
        .extend(warnings.map(|warning| format!("{title}: {warning}")));
    if !injection.patch.0.is_empty() {
        plan.texts
            .keep_in(workload, template, !injection.reason.injects());
        plan.extend(&workload.pointer(), injection.patch.0);
    }
    Ok(())
}

fn removal(value: &Value, workload: &Workload, plan: &mut Plan) -> Result<(), Refusal> {
    let title = &workload.title;
    let template = workload.template(value)?;
    match undo(template)? {
        Some(undo) => {
            plan.notes.push(format!("{title}: uninjected"));
            plan.texts.put_back(texts::recorded(template));
            plan.extend(&workload.pointer(), undo.patch.0);
        }
        None => plan.notes.push(format!("{title}: nothing of Outrigger is in it")),
    }
    Ok(())
}
