//! Kubernetes' Lists, as `kubectl get -o yaml` writes them and `kubectl apply` reads them. Used by whoever reads manifests.

use serde_json::Value;

/// The objects of a List, and the version and kind of those that do not say their own, as those in a DeploymentList need not;
/// `None` if the object is none. `version` and `kind` are its own.
pub(crate) fn items<'a>(
    object: &'a Value,
    (version, kind): (&'a str, &'a str),
) -> Option<(&'a Vec<Value>, (&'a str, &'a str))> {
    let of = kind.strip_suffix("List")?;
    let items = object.get("items")?.as_array()?;
    let implied = if of.is_empty() { ("", "") } else { (version, of) };
    Some((items, implied))
}
