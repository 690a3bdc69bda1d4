//! A patch applied to a document's text: what it does not touch keeps its bytes. The result is read again and compared
//! with the patched value, so that a text that means something else is an error and never an output.
//! Before it: `document` (the text and its value). After it: `tree`, `edit`, `render`.

use std::collections::BTreeMap;

use json_patch::Patch;
use serde_json::Value;

use super::document::Document;
use super::edit::Edits;
use super::render::{Rendered, render};
use super::{lines, tree};

/// Why a document is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum SpliceError {
    /// The patch asks for a member that is not there.
    #[error("line {line}: {error}")]
    Patch {
        /// Where the document begins in the file, counted from 1.
        line: usize,
        /// What is missing, by pointer.
        error: json_patch::PatchError,
    },
    /// The text is written in a way that leaves no place for the change.
    #[error("line {line}: {why}; write it in block style, without aliases and explicit keys, and try again")]
    Stuck {
        /// In the file, counted from 1.
        line: usize,
        /// What is in the way.
        why: &'static str,
    },
    /// The new text would mean something else than what was to be done.
    #[error(
        "line {line}: the change of {field} cannot be written into this text; \
         write it in block style, without aliases and merge keys, and try again"
    )]
    Differs {
        /// Where the document begins in the file, counted from 1.
        line: usize,
        /// The first member that would be wrong, as a pointer.
        field: String,
    },
}

/// A document after its patch.
pub(super) struct Spliced {
    pub(super) text: String,
    /// As in [`Rendered`].
    pub(super) rewritten: BTreeMap<String, String>,
    pub(super) value: Value,
}

/// Applies `patch` to a document that means `value`. `texts` are put in the places that their pointers name once the patch
/// is applied, if they mean what is there. `keeps_removed` is as in `render`.
pub(super) fn splice(
    document: &Document,
    value: &Value,
    patch: &Patch,
    texts: &BTreeMap<String, String>,
    keeps_removed: bool,
) -> Result<Spliced, SpliceError> {
    let line = document.line;
    let mut expected = value.clone();
    json_patch::patch(&mut expected, patch).map_err(|error| SpliceError::Patch { line, error })?;
    let spliced = |rendered: Rendered, value| Spliced {
        text: rendered.text,
        rewritten: rendered.rewritten,
        value,
    };
    if !texts.is_empty()
        && let Ok(rendered) = attempt(document, value, patch, texts, keeps_removed)
        && differs(&rendered, &expected).is_none()
    {
        return Ok(spliced(rendered, expected));
    }
    let rendered = attempt(document, value, patch, &BTreeMap::new(), keeps_removed)?;
    match differs(&rendered, &expected) {
        None => Ok(spliced(rendered, expected)),
        Some(field) => Err(SpliceError::Differs { line, field }),
    }
}

fn attempt(
    document: &Document,
    value: &Value,
    patch: &Patch,
    texts: &BTreeMap<String, String>,
    keeps_removed: bool,
) -> Result<Rendered, SpliceError> {
    let (line, text) = (document.line, document.text);
    let stuck = |line, why| SpliceError::Stuck { line, why };
    let root = match tree::parse(text) {
        Ok(Some(root)) => root,
        _ => return Err(stuck(line, "the document has no nodes that could change")),
    };
    let mut edits = Edits::new(&root, value);
    edits.apply(patch).map_err(|why| stuck(line, why))?;
    edits.put_back(texts);
    render(text, &edits.root, keeps_removed)
        .map_err(|found| stuck(line + lines::number(text, found.at) - 1, found.why))
}

/// The first place where the new text does not mean what it is to mean.
fn differs(rendered: &Rendered, expected: &Value) -> Option<String> {
    let document = Document {
        text: &rendered.text,
        line: 1,
    };
    match document.parse() {
        Ok(Some(found)) => difference(&found, expected, String::new()),
        _ => Some("the document".into()),
    }
}

fn difference(found: &Value, expected: &Value, at: String) -> Option<String> {
    if found == expected {
        return None;
    }
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let missing = expected
                .keys()
                .chain(found.keys())
                .find(|key| !(found.contains_key(key.as_str()) && expected.contains_key(key.as_str())));
            if let Some(key) = missing {
                return Some(format!("{at}/{key}"));
            }
            let mut pairs = found.iter();
            pairs.find_map(|(key, found)| difference(found, &expected[key], format!("{at}/{key}")))
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            let mut pairs = found.iter().zip(expected).enumerate();
            pairs.find_map(|(index, (found, expected))| difference(found, expected, format!("{at}/{index}")))
        }
        _ => Some(at),
    }
}
