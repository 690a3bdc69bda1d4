//! VirtualServices and DestinationRules by the hosts they name, in the order in which Istio lets them speak.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Key, host};
use crate::api::{self, DestinationRuleSpec, InvalidField, Unsupported, VirtualServiceSpec};

/// Who a rule is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Namespace and name.
    pub key: Key,
    /// The older of two rules wins.
    pub created: Option<Timestamp>,
    /// Counts the changes of the spec.
    pub generation: i64,
}

/// A VirtualService or a DestinationRule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule<S> {
    /// Who it is.
    pub meta: Meta,
    /// The hosts that it is for, fully qualified.
    pub hosts: Vec<String>,
    /// What it says.
    pub spec: S,
    /// What it says without effect, by field.
    pub unsupported: Unsupported,
}

/// What both kinds have in common.
pub trait RuleSpec: Serialize + DeserializeOwned + PartialEq {
    /// `VirtualService` or `DestinationRule`.
    const KIND: &'static str;
    /// The hosts as the user wrote them.
    fn hosts(&self) -> &[String];
    /// The namespaces whose clients may use it.
    fn export_to(&self) -> &[String];
    /// What is well formed and still has no effect.
    fn mistakes(&self) -> Unsupported {
        Unsupported::new()
    }
}

impl RuleSpec for VirtualServiceSpec {
    const KIND: &'static str = "VirtualService";

    fn hosts(&self) -> &[String] {
        &self.hosts
    }

    fn export_to(&self) -> &[String] {
        &self.export_to
    }

    fn mistakes(&self) -> Unsupported {
        let mut mistakes = Unsupported::new();
        for (rule, http) in self.http.iter().enumerate() {
            for (index, condition) in http.matches.iter().enumerate() {
                let path = format!("spec.http[{rule}].match[{index}]");
                if let Some(text) = &condition.uri
                    && let Some(why) = text.mistake(false)
                {
                    mistakes.insert(format!("{path}.uri"), why);
                }
                for (name, text) in &condition.headers {
                    let why = match http::HeaderName::from_bytes(name.as_bytes()) {
                        Ok(_) => text.mistake(true),
                        Err(_) => Some("is not the name of a header".to_owned()),
                    };
                    if let Some(why) = why {
                        mistakes.insert(format!("{path}.headers.{name}"), why);
                    }
                }
            }
        }
        mistakes
    }
}

impl RuleSpec for DestinationRuleSpec {
    const KIND: &'static str = "DestinationRule";

    fn hosts(&self) -> &[String] {
        std::slice::from_ref(&self.host)
    }

    fn export_to(&self) -> &[String] {
        &self.export_to
    }
}

impl api::StringMatch {
    fn mistake(&self, may_be_empty: bool) -> Option<String> {
        match (&self.exact, &self.prefix, &self.regex) {
            (None, None, None) if may_be_empty => None,
            (Some(_), None, None) | (None, Some(_), None) => None,
            (None, None, Some(regex)) => outrigger_proxy::route::regex(regex)
                .err()
                .map(|why| format!("regex {regex:?}: {why}")),
            _ => Some("needs exactly one of exact, prefix and regex".to_owned()),
        }
    }
}

impl<S: RuleSpec> Rule<S> {
    /// Reads an object as the API server or a manifest gives it.
    ///
    /// # Errors
    /// Names the first field that is missing or has the wrong shape.
    pub fn read(object: &Value) -> Result<Self, InvalidField> {
        #[derive(serde::Deserialize)]
        struct Head {
            metadata: kube::api::ObjectMeta,
        }
        let head: Head = api::read(object)?;
        let (spec, mut unsupported) = api::read_spec::<S>(object)?;
        unsupported.extend(spec.mistakes());
        let meta = Meta {
            key: Key::of(&head.metadata),
            created: head.metadata.creation_timestamp.map(|time| time.0),
            generation: head.metadata.generation.unwrap_or_default(),
        };
        Ok(Self {
            meta,
            hosts: Vec::new(),
            spec,
            unsupported,
        })
    }

    pub(super) fn resolved(mut self, cluster_domain: &str) -> Self {
        let namespace = &self.meta.key.namespace;
        self.hosts = self
            .spec
            .hosts()
            .iter()
            .map(|name| host::resolve(name, namespace, cluster_domain))
            .collect();
        self
    }

    /// Whether something below this field has no effect.
    pub fn has_mistake(&self, field: &str) -> bool {
        self.unsupported
            .range(field.to_owned()..)
            .next()
            .is_some_and(|(path, _)| path.starts_with(field))
    }

    /// Whether clients of a namespace may use it. A rule has a say about a service of another namespace only for its own
    /// namespace's clients: otherwise whoever may write a rule anywhere could take over every service's traffic.
    pub fn applies(&self, client_namespace: &str, service_namespace: &str) -> bool {
        let own = &self.meta.key.namespace;
        let to = self.spec.export_to();
        let visible = to.is_empty()
            || to
                .iter()
                .any(|to| to == "*" || to == client_namespace || (to == "." && own == client_namespace));
        visible && (own == client_namespace || own == service_namespace)
    }

    /// `VirtualService default/helloworld`.
    pub fn title(&self) -> String {
        format!("{} {}", S::KIND, self.meta.key)
    }
}

/// The rules of one kind.
#[derive(Debug)]
pub(super) struct Rules<S> {
    objects: BTreeMap<Key, Rule<S>>,
    by_host: BTreeMap<String, BTreeSet<Key>>,
}

impl<S> Default for Rules<S> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            by_host: BTreeMap::new(),
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
            if let Some(keys) = self.by_host.get_mut(host) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_host.remove(host);
                }
            }
        }
        rule.hosts.into_iter().collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Rule<S>> {
        self.objects.values()
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
        for (_, keys) in patterns {
            let mut alike: Vec<&Rule<S>> = keys.iter().filter_map(|key| self.objects.get(key)).collect();
            alike.sort_by_key(|rule| {
                let Meta { key, created, .. } = &rule.meta;
                (created.unwrap_or(Timestamp::MAX), &key.name, &key.namespace)
            });
            rules.extend(alike.into_iter().filter(|rule| seen.insert(&rule.meta.key)));
        }
        rules.into_iter()
    }
}
