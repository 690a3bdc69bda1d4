//! The texts of nodes that had to be written anew, such as an alias that gets members of its own. `inject` keeps them in the
//! status annotation under `texts`, by JSON pointer in the document; `uninject` puts them back.
//! Before it: `manifest`, with a document's patch. After it: `splice`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use json_patch::{Patch, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use serde_json::{Map, Value};

use super::document::Document;
use super::splice::{SpliceError, splice};
use super::workload::{Workload, moved};
use crate::inject::status::ANNOTATION;

/// Where the status is in a pod, and the texts' field in it.
const STATUS: [&str; 3] = ["metadata", "annotations", ANNOTATION];
const FIELD: &str = "texts";

/// Which texts are kept of a document's change, and which it gets back.
#[derive(Default)]
pub(super) struct Texts {
    keepers: Vec<Keeper>,
    /// Pointers of what is changed for good.
    forgotten: BTreeSet<String>,
    put_back: BTreeMap<String, String>,
}

/// A workload whose status is about to be written.
struct Keeper {
    /// The object's pointer.
    at: String,
    /// The pod template's pointer.
    template: String,
    /// The texts that its status had before: those of the file as it was before the first injection.
    older: BTreeMap<String, String>,
}

/// The texts in the status of a pod.
pub(super) fn recorded(pod: &Value) -> BTreeMap<String, String> {
    let status = pod["metadata"]["annotations"][ANNOTATION].as_str();
    let status: Option<Value> = status.and_then(|status| serde_json::from_str(status).ok());
    let texts = status.and_then(|mut status| serde_json::from_value(status[FIELD].take()).ok());
    texts.unwrap_or_default()
}

impl Texts {
    /// A status is about to be written into a workload, `again` if it has one of its own already.
    pub(super) fn keep_in(&mut self, workload: &Workload, pod: &Value, again: bool) {
        let template = workload.pointer();
        let mut older = BTreeMap::new();
        if again {
            older = recorded(pod);
            self.forgotten
                .insert(format!("{template}{}", PointerBuf::from_tokens(STATUS)));
        }
        self.keepers.push(Keeper {
            at: workload.at.clone(),
            template,
            older,
        });
    }

    /// What these operations change stays changed.
    pub(super) fn forget(&mut self, at: &str, operations: &[PatchOperation]) {
        let paths = operations
            .iter()
            .map(|operation| moved(at, operation.clone()).path().to_string());
        self.forgotten.extend(paths);
    }

    pub(super) fn put_back(&mut self, texts: BTreeMap<String, String>) {
        self.put_back.extend(texts);
    }

    /// Changes the document, and its statuses by what was written anew.
    pub(super) fn splice(
        self,
        document: &Document,
        value: &Value,
        mut patch: Patch,
    ) -> Result<String, SpliceError> {
        let keeps = !self.keepers.is_empty();
        let spliced = splice(document, value, &patch, &self.put_back, keeps)?;
        let texts = self.by_template(spliced.rewritten).into_iter();
        let amendment = |(template, texts): (String, _)| amendment(&spliced.value, &template, texts);
        let mut amendments: Vec<_> = texts.filter_map(amendment).collect();
        if amendments.is_empty() {
            return Ok(spliced.text);
        }
        patch.0.append(&mut amendments);
        Ok(splice(document, value, &patch, &self.put_back, keeps)?.text)
    }

    /// Which template's status keeps which texts: that of the innermost object around them, or, for what an object shares
    /// with others of its List, the first.
    fn by_template(&self, rewritten: BTreeMap<String, String>) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let by_object: HashMap<_, _> = self.keepers.iter().map(|it| (it.at.as_str(), it)).collect();
        for (pointer, text) in rewritten {
            let mut around = pointer.as_str();
            let mut innermost = None;
            while let (None, Some((parent, _))) = (innermost, around.rsplit_once('/')) {
                innermost = by_object.get(parent);
                around = parent;
            }
            let keeper = innermost.copied().or(self.keepers.first());
            if let Some(keeper) = keeper.filter(|_| !self.forgotten.contains(&pointer)) {
                found
                    .entry(keeper.template.clone())
                    .or_default()
                    .insert(pointer, text);
            }
        }
        for keeper in self.keepers.iter().filter(|keeper| !keeper.older.is_empty()) {
            found
                .entry(keeper.template.clone())
                .or_default()
                .extend(keeper.older.clone());
        }
        found
    }
}

/// The operation that adds texts to the status which the patch writes.
fn amendment(after: &Value, template: &str, texts: BTreeMap<String, String>) -> Option<PatchOperation> {
    let pod = after.pointer(template)?;
    let status = pod["metadata"]["annotations"][ANNOTATION].as_str();
    let mut status: Map<String, Value> = serde_json::from_str(status?).ok()?;
    status.insert(FIELD.into(), serde_json::json!(texts));
    let path = PointerBuf::from_tokens(STATUS);
    let value = Value::Object(status).to_string().into();
    let replace = PatchOperation::Replace(ReplaceOperation { path, value });
    Some(moved(template, replace))
}
