//! A rule: who it is, what it says, and whom and what it names. After it: `rules` finds it by that.

use std::collections::BTreeMap;

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
    /// Of this very object, not of one of the same name before it; empty in manifests.
    pub uid: String,
    /// The older of two rules wins.
    pub created: Option<Timestamp>,
    /// Counts the changes of the spec.
    pub generation: i64,
}

/// An object of one of Istio's kinds.
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

/// What the kinds have in common.
pub trait RuleSpec: Serialize + DeserializeOwned + PartialEq {
    /// For instance `VirtualService`.
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
    /// Takes the object's own labels to what it says.
    fn label(&mut self, _labels: BTreeMap<String, String>) {}
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
    /// The pods and WorkloadEntries of a namespace, of which it selects some.
    Workloads(String),
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
        let (mut spec, unknown) = api::read_spec::<S>(object)?;
        let mut findings = Findings {
            unknown,
            ..Default::default()
        };
        spec.validate(&mut findings);
        spec.label(head.metadata.labels.clone().unwrap_or_default());
        let meta = Meta {
            key: Key::of(&head.metadata),
            uid: head.metadata.uid.unwrap_or_default(),
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
