//! The rules of one kind by the hosts they are for, in the order in which Istio lets them speak, and by what else they name.
//! Before it: `rule`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Mention, Rule, RuleSpec};
use super::{Key, host};
use crate::api::{ServiceEntrySpec, VirtualServiceSpec};

/// The rules of one kind.
#[derive(Debug)]
pub(super) struct Rules<S> {
    objects: BTreeMap<Key, Rule<S>>,
    by_host: BTreeMap<String, BTreeSet<Key>>,
    by_mention: BTreeMap<Mention, BTreeSet<Key>>,
}

impl<S> Default for Rules<S> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            by_host: BTreeMap::new(),
            by_mention: BTreeMap::new(),
        }
    }
}

impl<S: RuleSpec> Rules<S> {
    /// Gives the hosts that it was and is for, none if nothing is new.
    pub(super) fn insert(&mut self, rule: Rule<S>) -> BTreeSet<String> {
        let key = rule.meta.key.clone();
        if self.objects.get(&key) == Some(&rule) {
            return BTreeSet::new();
        }
        let mut touched = self.remove(&key);
        for host in &rule.hosts {
            self.by_host.entry(host.clone()).or_default().insert(key.clone());
        }
        for mention in rule.spec.mentions(&key.namespace) {
            self.by_mention.entry(mention).or_default().insert(key.clone());
        }
        touched.extend(rule.hosts.iter().cloned());
        self.objects.insert(key, rule);
        touched
    }

    /// Gives the hosts that it was for.
    pub(super) fn remove(&mut self, key: &Key) -> BTreeSet<String> {
        let Some(rule) = self.objects.remove(key) else {
            return BTreeSet::new();
        };
        for host in &rule.hosts {
            forget(&mut self.by_host, host, key);
        }
        for mention in rule.spec.mentions(&key.namespace) {
            forget(&mut self.by_mention, &mention, key);
        }
        rule.hosts.into_iter().collect()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Rule<S>> {
        self.objects.get(key)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Rule<S>> {
        self.objects.values()
    }

    /// Those of one namespace, by name.
    pub(super) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Rule<S>> {
        self.objects
            .range(Key::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(_, rule)| rule)
    }

    /// Those that name this host or wildcard itself, the oldest first.
    pub(super) fn naming(&self, host: &str) -> Vec<&Rule<S>> {
        let keys = self.by_host.get(host).into_iter().flatten();
        let mut rules: Vec<_> = keys.filter_map(|key| self.objects.get(key)).collect();
        rules.sort_by(|one, other| one.age().cmp(&other.age()));
        rules
    }

    /// Those that mention it.
    pub(super) fn mentioning<'a>(&'a self, mention: &Mention) -> impl Iterator<Item = &'a Key> + use<'a, S> {
        self.by_mention.get(mention).into_iter().flatten()
    }

    pub(super) fn is_mentioned(&self, mention: &Mention) -> bool {
        self.by_mention.contains_key(mention)
    }

    /// Those that lead to a host, or to one that a wildcard means.
    pub(super) fn leading_to(&self, host: &str) -> impl Iterator<Item = &Key> {
        let from = Mention::Host(host.to_owned());
        let own = self.mentioning(&from).collect::<Vec<_>>();
        let all = host::is_wildcard(host).then(|| self.by_mention.range(Mention::Host(String::new())..));
        let below = all
            .into_iter()
            .flatten()
            .map_while(|(mention, keys)| match mention {
                Mention::Host(name) => Some((name, keys)),
                _ => None,
            })
            .filter(move |(name, _)| host::matches(host, name));
        own.into_iter().chain(below.flat_map(|(_, keys)| keys))
    }

    /// Those that are for hosts which a wildcard means.
    pub(super) fn below<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = &'a Key> {
        let below = self
            .by_host
            .iter()
            .filter(|(host, _)| host::matches(pattern, host));
        below.flat_map(|(_, keys)| keys)
    }

    /// The rules for a host: its own name before wildcards, longer wildcards before shorter ones, of the same host the
    /// oldest first (then by name and namespace, as Istio does).
    pub(super) fn for_host<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Rule<S>> {
        let own = self.by_host.get_key_value(name).into_iter();
        // `*` sorts before every letter and digit, so that wildcards are one range.
        let wildcards = self.by_host.range("*".to_owned().."+".to_owned());
        let mut patterns: Vec<_> = own
            .chain(wildcards.filter(|(pattern, _)| host::matches(pattern, name)))
            .collect();
        patterns.sort_by_key(|(pattern, _)| (host::is_wildcard(pattern), Reverse(pattern.len())));
        let mut seen = BTreeSet::new();
        let mut rules = Vec::new();
        for (pattern, _) in patterns {
            let alike = self.naming(pattern).into_iter();
            rules.extend(alike.filter(|rule| seen.insert(&rule.meta.key)));
        }
        rules.into_iter()
    }
}

impl Rules<ServiceEntrySpec> {
    /// The namespaces in which one selects workloads.
    pub(super) fn namespaces_of_workloads(&self) -> impl Iterator<Item = &str> {
        let from = Mention::Workloads(String::new());
        self.by_mention
            .range(from..)
            .map_while(|(mention, _)| match mention {
                Mention::Workloads(namespace) => Some(namespace.as_str()),
                _ => None,
            })
    }
}

impl Rules<VirtualServiceSpec> {
    /// The hosts of those that delegate to this one.
    pub(super) fn delegating_to(&self, key: &Key) -> BTreeSet<String> {
        let roots = self.mentioning(&Mention::Delegate(key.clone()));
        let roots = roots.filter_map(|root| self.get(root));
        roots.flat_map(|root| root.hosts.iter().cloned()).collect()
    }
}

fn forget<T: Ord>(index: &mut BTreeMap<T, BTreeSet<Key>>, entry: &T, rule: &Key) {
    if let Some(rules) = index.get_mut(entry) {
        rules.remove(rule);
        if rules.is_empty() {
            index.remove(entry);
        }
    }
}
