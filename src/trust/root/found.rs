//! Which ConfigMaps there are, and which have to be written: the pure part of `root`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;

use super::super::MANAGER;
use super::{KEY, NAME};

/// What every ConfigMap should be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) bundle: Arc<str>,
    /// The part of the bundle that is in use, as it stands in it.
    pub(super) signer: String,
    /// The ClusterRole that owns the ConfigMaps, so that they go when the chart goes.
    pub(super) owner: OwnerReference,
}

impl Wanted {
    fn is(&self, found: &ConfigMap) -> bool {
        bundle(found).is_some_and(|bundle| *bundle == *self.bundle) && is_owned(found, &self.owner)
    }

    pub(super) fn config_map(&self, namespace: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())].into()),
                owner_references: Some(vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            data: Some([(KEY.to_owned(), self.bundle.to_string())].into()),
            ..ConfigMap::default()
        }
    }
}

/// The ConfigMaps as they are, by namespace.
#[derive(Debug, Default)]
pub(super) struct Found {
    known: HashMap<String, ConfigMap>,
    /// What the list that is being read has brought so far.
    listing: HashMap<String, ConfigMap>,
    /// Whether a list has been read to its end.
    pub(super) complete: bool,
    /// Where the last write failed; they wait for the next tick.
    pub(super) failed: BTreeSet<String>,
}

impl Found {
    pub(super) fn apply(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(found) => drop(
                self.listing
                    .insert(found.namespace().unwrap_or_default(), slim(found)),
            ),
            Event::InitDone => {
                self.known = std::mem::take(&mut self.listing);
                self.complete = true;
            }
            Event::Apply(found) => drop(
                self.known
                    .insert(found.namespace().unwrap_or_default(), slim(found)),
            ),
            Event::Delete(found) => drop(self.known.remove(&found.namespace().unwrap_or_default())),
        }
    }

    /// Whether a proxy that starts in the namespace could not verify us.
    pub(super) fn is_urgent(&self, namespace: &str, wanted: &Wanted) -> bool {
        let known = self.known.get(namespace).and_then(bundle);
        !known.is_some_and(|bundle| bundle.contains(&wanted.signer))
    }

    /// The namespaces whose ConfigMap is not there or is not as wanted.
    pub(super) fn due(&self, namespaces: &BTreeSet<String>, wanted: &Wanted) -> Vec<String> {
        let missing = |namespace: &&String| !self.known.get(*namespace).is_some_and(|found| wanted.is(found));
        namespaces.iter().filter(missing).cloned().collect()
    }
}

/// Whether `owner` is one of the ConfigMap's owners; another revision's may be there as well.
pub(super) fn is_owned(found: &ConfigMap, owner: &OwnerReference) -> bool {
    found.owner_references().iter().any(|it| it.uid == owner.uid)
}

fn bundle(found: &ConfigMap) -> Option<&str> {
    found.data.as_ref()?.get(KEY).map(String::as_str)
}

/// Only what is compared: managedFields would be the larger part of it.
fn slim(mut found: ConfigMap) -> ConfigMap {
    found.metadata.managed_fields = None;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: &str) -> OwnerReference {
        OwnerReference {
            uid: uid.to_owned(),
            ..OwnerReference::default()
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            bundle: "old signer".into(),
            signer: "signer".to_owned(),
            owner: owner("uid"),
        }
    }

    fn changed(change: impl FnOnce(&mut ConfigMap)) -> ConfigMap {
        let mut found = wanted().config_map("a");
        change(&mut found);
        found
    }

    #[test]
    fn a_config_map_is_due_when_it_is_missing_or_differs() {
        let namespaces = BTreeSet::from(["a".to_owned()]);
        let cases = [
            (changed(|_| ()), false),
            (changed(|found| found.metadata.labels = None), false),
            (
                changed(|found| {
                    drop(
                        found
                            .data
                            .as_mut()
                            .unwrap()
                            .insert("theirs".to_owned(), String::new()),
                    )
                }),
                false,
            ),
            (changed(|found| found.data = None), true),
            (
                changed(|found| {
                    drop(
                        found
                            .data
                            .as_mut()
                            .unwrap()
                            .insert(KEY.to_owned(), "other".to_owned()),
                    )
                }),
                true,
            ),
            (changed(|found| found.metadata.owner_references = None), true),
            (
                changed(|found| found.metadata.owner_references = Some(vec![owner("other")])),
                true,
            ),
            (
                changed(|found| found.metadata.owner_references = Some(vec![owner("other"), owner("uid")])),
                false,
            ),
        ];
        for (config_map, expected) in cases {
            let mut found = Found::default();
            assert_eq!(found.due(&namespaces, &wanted()), ["a"], "missing");
            found.apply(Event::Apply(config_map.clone()));
            assert_eq!(
                !found.due(&namespaces, &wanted()).is_empty(),
                expected,
                "{config_map:?}"
            );
            found.apply(Event::Delete(config_map));
            assert_eq!(found.due(&namespaces, &wanted()), ["a"], "deleted");
        }
    }

    #[test]
    fn a_bundle_without_the_signer_is_urgent() {
        let mut found = Found::default();
        assert!(found.is_urgent("a", &wanted()), "missing");
        for (bundle, expected) in [("old signer", false), ("signer next", false), ("old", true)] {
            let data = Some([(KEY.to_owned(), bundle.to_owned())].into());
            found.apply(Event::Apply(changed(|found| found.data = data)));
            assert_eq!(found.is_urgent("a", &wanted()), expected, "{bundle}");
        }
    }

    #[test]
    fn a_new_list_replaces_what_was_known() {
        let mut found = Found::default();
        found.apply(Event::Apply(wanted().config_map("gone")));
        found.apply(Event::Init);
        found.apply(Event::InitApply(wanted().config_map("a")));
        assert!(
            found.known.contains_key("gone") && !found.complete,
            "until the list is complete"
        );
        found.apply(Event::InitDone);
        assert!(found.known.keys().eq(["a"]) && found.complete);
    }
}
