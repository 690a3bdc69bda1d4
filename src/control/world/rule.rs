//! VirtualServices and DestinationRules by the hosts they name, in the order in which Istio lets them speak.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Key, host};
use crate::api::{
    self, Delegate, DestinationRuleSpec, Findings, InvalidField, Unsupported, VirtualServiceSpec,
};

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
    /// What there is to say about it alone.
    pub findings: Findings,
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
    /// Notes all that there is to say about it alone.
    fn validate(&self, found: &mut Findings) {
        found.errors.extend(self.mistakes());
    }
    /// Makes full names of the hosts that it leads to.
    fn resolve(&mut self, _full: &dyn Fn(&str) -> String) {}
    /// What it names besides its hosts, being an object of this namespace.
    fn mentions(&self, _namespace: &str) -> Vec<Mention> {
        Vec::new()
    }
}

/// What a rule names besides its hosts: by this it is found when one of these changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mention {
    /// A VirtualService that it delegates to.
    Delegate(Key),
    /// The full name of a service that it leads to.
    Host(String),
    /// A label and the value of it by which it chooses clients.
    Label(String, String),
}

pub(super) fn labels<'a>(
    selectors: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> impl Iterator<Item = Mention> {
    let labels = selectors.flatten();
    labels.map(|(label, value)| Mention::Label(label.clone(), value.clone()))
}

impl RuleSpec for VirtualServiceSpec {
    const KIND: &'static str = "VirtualService";

    fn hosts(&self) -> &[String] {
        &self.hosts
    }

    fn export_to(&self) -> &[String] {
        &self.export_to
    }

    fn validate(&self, found: &mut Findings) {
        VirtualServiceSpec::validate(self, found);
    }

    fn resolve(&mut self, full: &dyn Fn(&str) -> String) {
        self.destinations_mut()
            .for_each(|destination| destination.host = full(&destination.host));
    }

    fn mentions(&self, namespace: &str) -> Vec<Mention> {
        let hosts = self.destinations().map(|to| Mention::Host(to.host.clone()));
        let delegates = self.http.iter().filter_map(|http| http.delegate.as_ref());
        let delegates = delegates.map(|to| Mention::Delegate(delegate(to, namespace)));
        let http = self.http.iter().flat_map(|http| &http.matches);
        let tls = self.tls.iter().flat_map(|tls| &tls.matches);
        let tcp = self.tcp.iter().flat_map(|tcp| &tcp.matches);
        let clients = http.map(|one| &one.source_labels);
        let clients = clients.chain(tls.map(|one| &one.source_labels));
        let clients = clients.chain(tcp.map(|one| &one.source_labels));
        hosts.chain(delegates).chain(labels(clients)).collect()
    }
}

fn delegate(to: &Delegate, namespace: &str) -> Key {
    match to.namespace.as_str() {
        "" => Key::new(namespace, &to.name),
        other => Key::new(other, &to.name),
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

    fn validate(&self, found: &mut Findings) {
        DestinationRuleSpec::validate(self, found);
    }

    fn mentions(&self, _namespace: &str) -> Vec<Mention> {
        let selector = self.workload_selector.iter();
        labels(selector.map(|selector| &selector.match_labels)).collect()
    }
}

impl<S: RuleSpec> Rule<S> {
    /// Reads an object as the API server or a manifest gives it.
    ///
    /// # Errors
    /// Names the first field that is missing or has the wrong shape. What is well formed and still wrong is in its findings.
    pub fn read(object: &Value) -> Result<Self, InvalidField> {
        #[derive(serde::Deserialize)]
        struct Head {
            metadata: kube::api::ObjectMeta,
        }
        let head: Head = api::read(object)?;
        let (spec, unknown) = api::read_spec::<S>(object)?;
        let mut findings = Findings {
            unknown,
            ..Default::default()
        };
        spec.validate(&mut findings);
        let meta = Meta {
            key: Key::of(&head.metadata),
            created: head.metadata.creation_timestamp.map(|time| time.0),
            generation: head.metadata.generation.unwrap_or_default(),
        };
        Ok(Self {
            meta,
            hosts: Vec::new(),
            spec,
            findings,
        })
    }

    pub(super) fn resolved(mut self, cluster_domain: &str) -> Self {
        let namespace = self.meta.key.namespace.clone();
        let full = |name: &str| host::resolve(name, &namespace, cluster_domain);
        // A host that is refused is none.
        let hosts = self.spec.hosts().iter().enumerate();
        let hosts =
            hosts.filter(|(index, _)| !self.findings.errors.contains_key(&format!("spec.hosts[{index}]")));
        self.hosts = hosts.map(|(_, name)| full(name)).collect();
        self.spec.resolve(&full);
        self
    }

    /// Whether something at or below this field has no effect.
    pub fn has_mistake(&self, field: &str) -> bool {
        self.findings.has_mistake(field)
    }

    /// Whether clients of a namespace may use it. A rule has a say about a service of another namespace only for its own
    /// namespace's clients: otherwise whoever may write a rule anywhere could take over every service's traffic.
    pub fn applies(&self, client_namespace: &str, service_namespace: &str) -> bool {
        let own = &self.meta.key.namespace;
        self.is_exported_to(client_namespace) && (own == client_namespace || own == service_namespace)
    }

    /// Whether it says that clients of a namespace may use it.
    pub fn is_exported_to(&self, namespace: &str) -> bool {
        let own = &self.meta.key.namespace;
        let to = self.spec.export_to();
        let is = |to: &String| to == "*" || to == namespace || (to == "." && own == namespace);
        to.is_empty() || to.iter().any(is)
    }

    /// Sorts the oldest first, then by name and namespace, as Istio does.
    pub(super) fn age(&self) -> (Timestamp, &str, &str) {
        let Meta { key, created, .. } = &self.meta;
        (created.unwrap_or(Timestamp::MAX), &key.name, &key.namespace)
    }

    /// `VirtualService default/helloworld`.
    pub fn title(&self) -> String {
        format!("{} {}", S::KIND, self.meta.key)
    }
}

impl Rule<VirtualServiceSpec> {
    /// Whether it speaks only where another delegates to it.
    pub fn is_delegate(&self) -> bool {
        self.spec.hosts.is_empty()
    }

    /// The VirtualService that a rule of this one delegates to.
    pub fn delegate(&self, to: &Delegate) -> Key {
        delegate(to, &self.meta.key.namespace)
    }

    /// All that it delegates to.
    pub(super) fn delegates(&self) -> impl Iterator<Item = Key> {
        let named = self.spec.http.iter().filter_map(|http| http.delegate.as_ref());
        named.map(|to| self.delegate(to))
    }
}

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
