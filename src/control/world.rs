//! What the control plane knows of the cluster, indexed for `compile`. Fed by `watch` or `directory` through `feed`, one event at a time.

mod change;
mod entry;
mod event;
mod host;
mod nodes;
mod objects;
mod rule;
mod services;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

pub use change::Change;
pub use event::{Event, Kind, Object};
pub(in crate::control) use host::matches;
pub use nodes::Node;
pub use objects::{Endpoint, EndpointSlice, Key, Namespace, Pod, Service, ServicePort, TrafficDistribution};
pub use rule::{Meta, Rule, RuleSpec};
pub use view::View;

use crate::api::{DestinationRuleSpec, ServiceEntrySpec, SidecarSpec, VirtualServiceSpec};
use nodes::Nodes;
use rule::Rules;
use services::Services;

/// An ExternalName service may lead to another; more in a row than this lead in a circle.
const ALIASES: usize = 8;

/// Everything known, shared as a `tokio::sync::watch` channel: writers apply events, readers borrow or wait for a condition.
#[derive(Debug)]
pub struct World {
    /// The domain that the names of Services end in.
    pub cluster_domain: String,
    /// Where an address of the mesh can be.
    pub mesh_ranges: Vec<IpNet>,
    /// The namespace whose Sidecar without a selector is for all others: the control plane's own.
    pub root_namespace: String,
    namespaces: HashMap<String, Namespace>,
    nodes: Nodes,
    pods: HashMap<Key, Pod>,
    services: Services,
    virtual_services: Rules<VirtualServiceSpec>,
    destination_rules: Rules<DestinationRuleSpec>,
    service_entries: Rules<ServiceEntrySpec>,
    sidecars: Rules<SidecarSpec>,
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
            root_namespace: "outrigger-system".to_owned(),
            namespaces: HashMap::new(),
            nodes: Nodes::default(),
            pods: HashMap::new(),
            services: Services::default(),
            virtual_services: Rules::default(),
            destination_rules: Rules::default(),
            service_entries: Rules::default(),
            sidecars: Rules::default(),
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

    /// The labels of topology of a node.
    pub fn topology(&self, node: &str) -> Option<&BTreeMap<String, String>> {
        self.nodes.get(node).map(|node| &node.topology)
    }

    /// The pod of that namespace and name.
    pub fn pod(&self, key: &Key) -> Option<&Pod> {
        self.pods.get(key)
    }

    /// The pod that has this address, as an endpoint slice says.
    pub fn pod_at(&self, address: IpAddr) -> Option<&Key> {
        self.services.pod_at(address)
    }

    /// The services and their endpoints.
    pub(in crate::control) fn services(&self) -> &Services {
        &self.services
    }

    /// The service that a name means: a Kubernetes Service by its full name, an ExternalName service by that of the service
    /// that it is an alias of, or the first that ServiceEntries have for it or for a wildcard around it.
    pub fn service_by_host(&self, host: &str) -> Option<&Service> {
        let mut host = host;
        for _ in 0..ALIASES {
            let own = host::service(host, &self.cluster_domain).and_then(|key| self.services.get(&key));
            let found = own.or_else(|| self.services.named(host).next());
            let alias = found.and_then(|service| service.external_name.as_deref());
            let Some(name) = alias.filter(|name| self.is_service(name)) else {
                return found;
            };
            host = name;
        }
        None
    }

    /// The same for a client of a namespace: of several namespaces' ServiceEntries for a host it means its own, and it sees
    /// nothing that is not exported to it.
    pub fn service_for(&self, host: &str, namespace: &str) -> Option<&Service> {
        let found = self.service_by_host(host)?;
        if !found.is_entry() {
            return Some(found).filter(|service| service.is_exported_to(namespace));
        }
        let host = self.host_of(found);
        let mut seen: Vec<_> = self.services.with_host(&host).collect();
        seen.retain(|service| service.is_exported_to(namespace));
        seen.sort_by_key(|service| service.key.namespace != namespace);
        seen.first().copied()
    }

    fn is_service(&self, host: &str) -> bool {
        let own = host::service(host, &self.cluster_domain);
        own.is_some_and(|key| self.services.get(&key).is_some()) || self.services.named(host).next().is_some()
    }

    /// The name that clients know a service by: fully qualified, or the host or wildcard of a ServiceEntry.
    pub fn host_of(&self, service: &Service) -> String {
        host::of(&service.key, &self.cluster_domain)
    }

    /// What subsets select an endpoint by: the labels of its pod, or those that a ServiceEntry gives it.
    pub fn labels_of<'a>(&'a self, endpoint: &'a Endpoint) -> Option<&'a BTreeMap<String, String>> {
        let pod = endpoint.pod.as_ref().and_then(|key| self.pod(key));
        let entry = endpoint.entry.as_ref().map(|entry| &entry.labels);
        pod.map(|pod| &pod.labels).or(entry)
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

    /// The hosts that a VirtualService has a say about: its own, or, if it is delegated to, those of the ones that do.
    pub fn routed_by(&self, rule: &Rule<VirtualServiceSpec>) -> BTreeSet<String> {
        match rule.is_delegate() {
            true => self.virtual_services.delegating_to(&rule.meta.key),
            false => rule.hosts.iter().cloned().collect(),
        }
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

    /// Every ServiceEntry, by namespace and name.
    pub fn service_entries(&self) -> impl Iterator<Item = &Rule<ServiceEntrySpec>> {
        self.service_entries.all()
    }

    /// Every Sidecar, by namespace and name.
    pub fn sidecars(&self) -> impl Iterator<Item = &Rule<SidecarSpec>> {
        self.sidecars.all()
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
            Object::Node(node) => {
                let name = node.name.clone();
                if self.nodes.insert(node) {
                    self.touch_node(&name, change);
                }
            }
            Object::Pod(pod) => {
                let old = self.pods.get(&pod.key);
                if old == Some(&pod) {
                    return;
                }
                let labels = old.is_none_or(|old| old.labels != pod.labels);
                if labels {
                    self.touch_endpoints_of(&pod.key, change);
                }
                change.pods.insert(pod.key.clone());
                let namespace = pod.key.namespace.clone();
                self.pods.insert(pod.key.clone(), pod);
                if labels {
                    self.select(&namespace, change);
                }
            }
            Object::Service(service) => self.services.insert(service, &self.cluster_domain, change),
            Object::EndpointSlice(slice) => {
                let namespace = slice.key.namespace.clone();
                self.services.insert_slice(slice, &self.cluster_domain, change);
                self.select(&namespace, change);
            }
            Object::VirtualService(rule) => {
                let rule = rule.resolved(&self.cluster_domain);
                if self.virtual_services.get(&rule.meta.key) == Some(&rule) {
                    return;
                }
                let old = self.virtual_services.get(&rule.meta.key);
                let mut hosts = match old.is_some_and(Rule::is_delegate) || rule.is_delegate() {
                    true => self.virtual_services.delegating_to(&rule.meta.key),
                    false => BTreeSet::new(),
                };
                hosts.extend(self.virtual_services.insert(rule));
                self.touch_hosts(hosts, change);
            }
            Object::DestinationRule(rule) => {
                let hosts = self.destination_rules.insert(rule.resolved(&self.cluster_domain));
                self.touch_policies(hosts, change);
            }
            Object::ServiceEntry(rule) => {
                let (key, rule) = (rule.meta.key.clone(), rule.with_hosts());
                if self.service_entries.get(&key) != Some(&rule) {
                    let hosts = self.service_entries.insert(rule);
                    self.make_entries(&key.namespace, hosts, change);
                    change.rules = true;
                }
            }
            Object::Sidecar(rule) => {
                if self.sidecars.get(&rule.meta.key) != Some(&rule) {
                    self.sidecars.insert(rule);
                    (change.views, change.rules) = (true, true);
                }
            }
        }
    }

    fn remove(&mut self, kind: Kind, key: &Key, change: &mut Change) {
        match kind {
            Kind::Namespace => {
                self.namespaces.remove(&key.name);
            }
            Kind::Node => {
                if self.nodes.remove(&key.name) {
                    self.touch_node(&key.name, change);
                }
            }
            Kind::Pod => {
                if self.pods.remove(key).is_some() {
                    self.touch_endpoints_of(key, change);
                    change.pods.insert(key.clone());
                    self.select(&key.namespace, change);
                }
            }
            Kind::Service => self.services.remove(key, &self.cluster_domain, change),
            Kind::EndpointSlice => {
                self.services.remove_slice(key, &self.cluster_domain, change);
                self.select(&key.namespace, change);
            }
            Kind::VirtualService => {
                let mut hosts = self.virtual_services.remove(key);
                if hosts.is_empty() {
                    hosts = self.virtual_services.delegating_to(key);
                }
                self.touch_hosts(hosts, change);
            }
            Kind::DestinationRule => {
                let hosts = self.destination_rules.remove(key);
                self.touch_policies(hosts, change);
            }
            Kind::ServiceEntry => {
                change.rules |= self.service_entries.get(key).is_some();
                let hosts = self.service_entries.remove(key);
                self.make_entries(&key.namespace, hosts, change);
            }
            Kind::Sidecar => {
                if self.sidecars.get(key).is_some() {
                    self.sidecars.remove(key);
                    (change.views, change.rules) = (true, true);
                }
            }
        }
    }

    fn keys(&self, kind: Kind) -> Vec<Key> {
        match kind {
            Kind::Namespace => self.namespaces.keys().map(|name| Key::new("", name)).collect(),
            Kind::Node => self.nodes.names().map(|name| Key::new("", name)).collect(),
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
            Kind::ServiceEntry => self
                .service_entries
                .all()
                .map(|rule| rule.meta.key.clone())
                .collect(),
            Kind::Sidecar => self.sidecars.all().map(|rule| rule.meta.key.clone()).collect(),
        }
    }

    /// Makes the services that the ServiceEntries of a namespace have for these hosts what they are now.
    fn make_entries(&mut self, namespace: &str, hosts: BTreeSet<String>, change: &mut Change) {
        for host in hosts {
            let key = host::key(namespace, &host);
            let mut rules = self.service_entries.naming(&host);
            rules.retain(|rule| rule.meta.key.namespace == namespace);
            let service = entry::service(&host, &rules);
            let slices: Vec<_> = rules
                .iter()
                .map(|rule| rule.slice(&host, self.selected(rule)))
                .collect();
            let gone: Vec<_> = self
                .services
                .slices(&key)
                .map(|slice| slice.key.clone())
                .filter(|old| slices.iter().all(|slice| slice.key != *old))
                .collect();
            for slice in gone {
                self.services.remove_slice(&slice, &self.cluster_domain, change);
            }
            match service {
                Some(service) => self.services.insert(service, &self.cluster_domain, change),
                None => self.services.remove(&key, &self.cluster_domain, change),
            }
            for slice in slices {
                self.services.insert_slice(slice, &self.cluster_domain, change);
            }
        }
    }

    /// Selects the pods of a namespace again for its ServiceEntries that have a selector.
    fn select(&mut self, namespace: &str, change: &mut Change) {
        let selecting = self.service_entries.in_namespace(namespace);
        let selecting = selecting.filter(|rule| rule.spec.workload_selector.is_some());
        let made: Vec<_> = selecting
            .flat_map(|rule| {
                rule.hosts
                    .iter()
                    .map(|host| rule.slice(host, self.selected(rule)))
            })
            .collect();
        for slice in made {
            self.services.insert_slice(slice, &self.cluster_domain, change);
        }
    }

    /// The pods that a ServiceEntry's selector means, where their addresses are known: behind a Kubernetes Service.
    fn selected(&self, rule: &Rule<ServiceEntrySpec>) -> Vec<Endpoint> {
        let Some(selector) = &rule.spec.workload_selector else {
            return Vec::new();
        };
        let namespace = &rule.meta.key.namespace;
        let pods = self.pods.values().filter(|pod| pod.key.namespace == *namespace);
        let pods: BTreeSet<&Key> = pods
            .filter(|pod| selector.selects(&pod.labels))
            .map(|pod| &pod.key)
            .collect();
        let endpoint = |pod: &Key| {
            let (addresses, ready) = self.services.addresses_of(pod);
            addresses.into_iter().map(move |address| (address, ready))
        };
        let endpoints = pods
            .into_iter()
            .flat_map(|pod| endpoint(pod).map(move |(address, ready)| (pod, address, ready)));
        endpoints
            .map(|(pod, address, ready)| Endpoint {
                addresses: vec![address],
                ready,
                pod: Some(pod.clone()),
                ..Default::default()
            })
            .collect()
    }

    /// The services whose subsets are chosen by this pod's labels.
    fn touch_endpoints_of(&self, pod: &Key, change: &mut Change) {
        for service in self.services.of_pod(pod) {
            change.endpoints.insert(host::of(service, &self.cluster_domain));
        }
    }

    /// Where a node is, is where the endpoints on it are, and the clients.
    fn touch_node(&self, node: &str, change: &mut Change) {
        for slice in self.services.all_slices() {
            let mut on_it = slice
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.node.as_deref() == Some(node))
                .peekable();
            if on_it.peek().is_some() {
                change
                    .endpoints
                    .insert(host::of(&slice.service, &self.cluster_domain));
            }
            change
                .pods
                .extend(on_it.filter_map(|endpoint| endpoint.pod.clone()));
        }
    }

    /// The hosts of DestinationRules: the labels by which these prefer endpoints are published with the endpoints.
    fn touch_policies(&self, patterns: BTreeSet<String>, change: &mut Change) {
        if patterns.is_empty() {
            return;
        }
        let mut touched = Change::default();
        self.touch_hosts(patterns, &mut touched);
        touched.endpoints.extend(touched.hosts.iter().cloned());
        change.merge(touched);
    }

    /// What rules name: hosts, or wildcards that stand for every service they match.
    fn touch_hosts(&self, patterns: BTreeSet<String>, change: &mut Change) {
        for pattern in patterns {
            if host::is_wildcard(&pattern) {
                let services = self
                    .services
                    .keys()
                    .map(|key| host::of(key, &self.cluster_domain));
                let services = services.chain(self.services.hosts().cloned());
                change
                    .hosts
                    .extend(services.filter(|service| host::matches(&pattern, service)));
                // Names below the wildcards of ServiceEntries are not among these.
                if self.services.hosts().any(|host| host::is_wildcard(host)) {
                    change.hosts.insert(pattern);
                }
            } else {
                change.hosts.insert(pattern);
            }
        }
        change.rules = true;
    }

    /// Whether a change of hosts is one of this, which may be below a wildcard, or an alias.
    fn concerns(&self, change: &Change, host: &str) -> bool {
        let mut host = host;
        for _ in 0..ALIASES {
            let wildcards = || change.hosts.range("*".to_owned().."+".to_owned());
            if change.hosts.contains(host) || wildcards().any(|pattern| host::matches(pattern, host)) {
                return true;
            }
            let own = host::service(host, &self.cluster_domain).and_then(|key| self.services.get(&key));
            match own.and_then(|service| service.external_name.as_deref()) {
                Some(name) => host = name,
                None => return false,
            }
        }
        false
    }

    /// A route depends on the services that it leads to and on their subsets, so what leads to a touched host is touched too.
    fn spread(&self, change: &mut Change) {
        if change.hosts.is_empty() {
            return;
        }
        let mut reached = BTreeSet::new();
        for rule in self.virtual_services.all() {
            let mut destinations = rule.spec.destinations();
            if destinations.any(|to| self.concerns(change, &to.host)) {
                reached.extend(self.routed_by(rule));
            }
        }
        if !reached.is_empty() {
            self.touch_hosts(reached, change);
        }
    }
}

#[cfg(test)]
mod tests;
