//! What the control plane knows of the cluster, indexed for `compile`. Fed by `watch` or `directory` through `feed`, one event at a time.

mod change;
mod event;
mod host;
mod objects;
mod rule;
mod services;

use std::collections::{BTreeSet, HashMap};

use ipnet::IpNet;

pub use change::Change;
pub use event::{Event, Kind, Object};
pub use objects::{Endpoint, EndpointSlice, Key, Namespace, Pod, Service, ServicePort};
pub use rule::{Meta, Rule, RuleSpec};

use crate::api::{DestinationRuleSpec, VirtualServiceSpec};
use rule::Rules;
use services::Services;

/// Everything known, shared as a `tokio::sync::watch` channel: writers apply events, readers borrow or wait for a condition.
#[derive(Debug)]
pub struct World {
    /// The domain that the names of Services end in.
    pub cluster_domain: String,
    /// Where an address of the mesh can be.
    pub mesh_ranges: Vec<IpNet>,
    namespaces: HashMap<String, Namespace>,
    pods: HashMap<Key, Pod>,
    services: Services,
    virtual_services: Rules<VirtualServiceSpec>,
    destination_rules: Rules<DestinationRuleSpec>,
    listed: BTreeSet<Kind>,
    events: u64,
}

impl Default for World {
    fn default() -> Self {
        Self::new("cluster.local".to_owned(), Vec::new())
    }
}

impl World {
    /// Nothing is known yet.
    pub fn new(cluster_domain: String, mesh_ranges: Vec<IpNet>) -> Self {
        Self {
            cluster_domain,
            mesh_ranges,
            namespaces: HashMap::new(),
            pods: HashMap::new(),
            services: Services::default(),
            virtual_services: Rules::default(),
            destination_rules: Rules::default(),
            listed: BTreeSet::new(),
            events: 0,
        }
    }

    /// A namespace, or `None` if it is not known (yet).
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// The names of all namespaces, in no order.
    pub fn namespace_names(&self) -> impl Iterator<Item = &str> {
        self.namespaces.keys().map(String::as_str)
    }

    /// The pod of that namespace and name.
    pub fn pod(&self, key: &Key) -> Option<&Pod> {
        self.pods.get(key)
    }

    /// The services and their endpoints.
    pub(in crate::control) fn services(&self) -> &Services {
        &self.services
    }

    /// The service with this fully qualified name.
    pub fn service_by_host(&self, host: &str) -> Option<&Service> {
        self.services.get(&host::service(host, &self.cluster_domain)?)
    }

    /// The fully qualified name of a service.
    pub fn host_of(&self, service: &Service) -> String {
        host::of(&service.key, &self.cluster_domain)
    }

    /// A host of a rule as a fully qualified name: names without a dot belong to the rule's namespace.
    pub fn resolve(&self, host: &str, namespace: &str) -> String {
        host::resolve(host, namespace, &self.cluster_domain)
    }

    /// The VirtualServices for a host in the order in which they are asked: the most specific host first, then the oldest.
    pub fn virtual_services_for(&self, host: &str) -> impl Iterator<Item = &Rule<VirtualServiceSpec>> {
        self.virtual_services.for_host(host)
    }

    /// The VirtualService of that namespace and name.
    pub fn virtual_service(&self, key: &Key) -> Option<&Rule<VirtualServiceSpec>> {
        self.virtual_services.get(key)
    }

    /// The DestinationRules for a host, in the same order.
    pub fn destination_rules_for(&self, host: &str) -> impl Iterator<Item = &Rule<DestinationRuleSpec>> {
        self.destination_rules.for_host(host)
    }

    /// Every VirtualService, by namespace and name.
    pub fn virtual_services(&self) -> impl Iterator<Item = &Rule<VirtualServiceSpec>> {
        self.virtual_services.all()
    }

    /// Every DestinationRule, by namespace and name.
    pub fn destination_rules(&self) -> impl Iterator<Item = &Rule<DestinationRuleSpec>> {
        self.destination_rules.all()
    }

    /// Whether the contents of every kind are known, so that what is missing is missing indeed.
    pub fn synced(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.listed.contains(kind))
    }

    /// The kinds whose contents are not known yet.
    pub fn unlisted(&self) -> Vec<Kind> {
        Kind::ALL
            .into_iter()
            .filter(|kind| !self.listed.contains(kind))
            .collect()
    }

    /// How many events were taken in, for whoever waits until theirs have been.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Takes an event in and says what it touched. Applying what is already there touches nothing.
    pub fn apply(&mut self, event: Event) -> Change {
        self.events += 1;
        let mut change = Change::default();
        match event {
            Event::Apply(object) => self.insert(object, &mut change),
            Event::Delete(kind, key) => self.remove(kind, &key, &mut change),
            Event::Replace(kind, objects) => {
                let kept: BTreeSet<Key> = objects
                    .iter()
                    .filter(|object| object.kind() == kind)
                    .map(Object::key)
                    .collect();
                for key in self.keys(kind) {
                    if !kept.contains(&key) {
                        self.remove(kind, &key, &mut change);
                    }
                }
                objects
                    .into_iter()
                    .for_each(|object| self.insert(object, &mut change));
                change.listed = self.listed.insert(kind);
            }
        }
        self.spread(&mut change);
        change
    }

    fn insert(&mut self, object: Object, change: &mut Change) {
        match object {
            Object::Namespace(namespace) => {
                self.namespaces.insert(namespace.name.clone(), namespace);
            }
            Object::Pod(pod) => {
                let old = self.pods.get(&pod.key);
                if old == Some(&pod) {
                    return;
                }
                if old.is_none_or(|old| old.labels != pod.labels) {
                    self.touch_endpoints_of(&pod.key, change);
                }
                change.pods.insert(pod.key.clone());
                self.pods.insert(pod.key.clone(), pod);
            }
            Object::Service(service) => self.services.insert(service, &self.cluster_domain, change),
            Object::EndpointSlice(slice) => self.services.insert_slice(slice, &self.cluster_domain, change),
            Object::VirtualService(rule) => {
                let rule = rule.resolved(&self.cluster_domain);
                if self.virtual_services.get(&rule.meta.key) == Some(&rule) {
                    return;
                }
                let mut hosts = self.virtual_services.delegating_to(&rule.meta.key);
                hosts.extend(self.virtual_services.insert(rule));
                self.touch_hosts(hosts, change);
            }
            Object::DestinationRule(rule) => {
                let hosts = self.destination_rules.insert(rule.resolved(&self.cluster_domain));
                self.touch_hosts(hosts, change);
            }
        }
    }

    fn remove(&mut self, kind: Kind, key: &Key, change: &mut Change) {
        match kind {
            Kind::Namespace => {
                self.namespaces.remove(&key.name);
            }
            Kind::Pod => {
                if self.pods.remove(key).is_some() {
                    self.touch_endpoints_of(key, change);
                    change.pods.insert(key.clone());
                }
            }
            Kind::Service => self.services.remove(key, &self.cluster_domain, change),
            Kind::EndpointSlice => self.services.remove_slice(key, &self.cluster_domain, change),
            Kind::VirtualService => {
                let mut hosts = self.virtual_services.remove(key);
                hosts.extend(self.virtual_services.delegating_to(key));
                self.touch_hosts(hosts, change);
            }
            Kind::DestinationRule => {
                let hosts = self.destination_rules.remove(key);
                self.touch_hosts(hosts, change);
            }
        }
    }

    fn keys(&self, kind: Kind) -> Vec<Key> {
        match kind {
            Kind::Namespace => self.namespaces.keys().map(|name| Key::new("", name)).collect(),
            Kind::Pod => self.pods.keys().cloned().collect(),
            Kind::Service => self.services.keys().cloned().collect(),
            Kind::EndpointSlice => self.services.slice_keys().cloned().collect(),
            Kind::VirtualService => self
                .virtual_services
                .all()
                .map(|rule| rule.meta.key.clone())
                .collect(),
            Kind::DestinationRule => self
                .destination_rules
                .all()
                .map(|rule| rule.meta.key.clone())
                .collect(),
        }
    }

    /// The services whose subsets are chosen by this pod's labels.
    fn touch_endpoints_of(&self, pod: &Key, change: &mut Change) {
        for service in self.services.of_pod(pod) {
            change.endpoints.insert(host::of(service, &self.cluster_domain));
        }
    }

    /// What rules name: hosts, or wildcards that stand for every service they match.
    fn touch_hosts(&self, patterns: BTreeSet<String>, change: &mut Change) {
        for pattern in patterns {
            if host::is_wildcard(&pattern) {
                let services = self
                    .services
                    .keys()
                    .map(|key| host::of(key, &self.cluster_domain));
                change
                    .hosts
                    .extend(services.filter(|service| host::matches(&pattern, service)));
            } else {
                change.hosts.insert(pattern);
            }
        }
        change.rules = true;
    }

    /// A route depends on the services that it leads to and on their subsets, so what leads to a touched host is touched too.
    fn spread(&self, change: &mut Change) {
        if change.hosts.is_empty() {
            return;
        }
        let mut reached = BTreeSet::new();
        for rule in self.virtual_services.all() {
            let mut destinations = rule.spec.destinations();
            if destinations.any(|to| change.hosts.contains(&to.host)) {
                reached.extend(rule.hosts.iter().cloned());
                reached.extend(self.virtual_services.delegating_to(&rule.meta.key));
            }
        }
        if !reached.is_empty() {
            self.touch_hosts(reached, change);
        }
    }
}

#[cfg(test)]
mod tests;
