//! `outrigger inject` on files: YAML documents in, the same documents with proxies out. A document that does not change
//! comes out byte for byte. Before it: the command line. After it: `manifest::workload` finds the pod templates in a document.

mod document;
mod workload;

use std::collections::BTreeMap;

use serde_json::Value;

use super::pod::Pod;
use super::{Namespace, Refusal, consider};
use crate::settings::Settings;
use document::Document;
use workload::Workload;

/// How documents are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// YAML; documents that did not change are copied.
    #[default]
    Yaml,
    /// One JSON value per document, as kubectl reads them.
    Json,
}

/// What became of a file.
#[derive(Debug)]
pub struct Injected {
    /// All documents, in their order.
    pub text: String,
    /// What was done to each workload and why; for stderr.
    pub notes: Vec<String>,
}

/// Why a document cannot be injected.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML (or JSON, which is YAML).
    #[error("{0}")]
    Yaml(Box<serde_saphyr::Error>),
    /// A changed document could not be written again.
    #[error("line {line}: the document cannot be written: {error}")]
    Write {
        /// Where the document begins in the file, counted from 1.
        line: usize,
        /// What the serializer said.
        error: serde_saphyr::SerializeError,
    },
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

/// Injects every workload of a file as if its namespace was labelled `istio-injection=enabled`; a pod template's own wish
/// to stay out is respected. API versions that are no longer served become those that replaced them.
///
/// All errors of the file are returned, never a part of its text.
pub fn inject(text: &str, settings: &Settings, format: Format) -> Result<Injected, Vec<ManifestError>> {
    let mut output = String::with_capacity(text.len() * 2);
    let (mut notes, mut errors) = (vec![], vec![]);
    for document in document::split(text) {
        match write(&document, settings, format, &mut notes) {
            Ok(written) => output.push_str(&written),
            Err(found) => errors.extend(found),
        }
    }
    match errors.is_empty() {
        true => Ok(Injected { text: output, notes }),
        false => Err(errors),
    }
}

fn write(
    document: &Document,
    settings: &Settings,
    format: Format,
    notes: &mut Vec<String>,
) -> Result<String, Vec<ManifestError>> {
    let parsed = document
        .parse()
        .map_err(|error| vec![ManifestError::Yaml(error)])?;
    let Some(mut value) = parsed else {
        return Ok(match format {
            Format::Yaml => document.text.into(),
            Format::Json => String::new(),
        });
    };
    let mut file = File {
        settings,
        line: document.line,
        notes,
        errors: vec![],
    };
    let changed = file.object(&mut value);
    if !file.errors.is_empty() {
        return Err(file.errors);
    }
    match format {
        Format::Json => Ok(format!("{value:#}\n")),
        Format::Yaml if !changed => Ok(document.text.into()),
        Format::Yaml => document.emit(&value).map_err(|error| {
            let line = document.line;
            vec![ManifestError::Write { line, error }]
        }),
    }
}

/// What is common to the objects of one document.
struct File<'a> {
    settings: &'a Settings,
    line: usize,
    notes: &'a mut Vec<String>,
    errors: Vec<ManifestError>,
}

impl File<'_> {
    /// Injects an object, or each object of a List, and says whether anything changed.
    fn object(&mut self, object: &mut Value) -> bool {
        if workload::is_list(object) {
            let items = object.get_mut("items").and_then(Value::as_array_mut);
            // Not `any`, which would stop at the first that changed.
            return items
                .into_iter()
                .flatten()
                .fold(false, |changed, item| self.object(item) | changed);
        }
        let Some(workload) = Workload::of(object) else {
            return false;
        };
        match self.workload(object, &workload) {
            Ok(changed) => changed,
            Err(refusal) => {
                let (line, object) = (self.line, workload.title);
                self.errors.push(ManifestError::Refused {
                    line,
                    object,
                    refusal,
                });
                false
            }
        }
    }

    fn workload(&mut self, object: &mut Value, workload: &Workload) -> Result<bool, Refusal> {
        let title = &workload.title;
        let upgraded = workload.upgrade(object)?;
        if let Some(note) = &upgraded {
            self.notes.push(format!("{title}: {note}"));
        }
        let template = workload.template(object)?;
        let enabled = BTreeMap::from([("istio-injection".to_string(), "enabled".to_string())]);
        let pod = Pod::read(template, workload.path)?;
        let namespace = Namespace {
            name: &workload.namespace,
            labels: &enabled,
            uid_range: None,
        };
        let injection = consider(
            template,
            &pod,
            workload.owner.as_deref(),
            &namespace,
            self.settings,
        )?;
        let because = injection.reason.because();
        if !injection.reason.injects() {
            self.notes
                .push(format!("{title}: not injected, because {because}"));
            return Ok(upgraded.is_some());
        }
        json_patch::patch(template, &injection.patch).expect("the patch was made for this very template");
        self.notes.push(format!("{title}: injected"));
        self.notes.extend(
            injection
                .warnings
                .iter()
                .map(|warning| format!("{title}: {warning}")),
        );
        Ok(true)
    }
}
