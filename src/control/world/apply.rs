//! Events into the world: what each object is kept as, and what it touched. After it: `made` and `touched`.

use std::collections::BTreeSet;

use super::{Change, Event, Key, Kind, Object, PodAddress, Rule, World};

/// What follows from an event, however many objects it brings.
#[derive(Default)]
struct Effects {
    change: Change,
    /// Namespaces whose ServiceEntries have to select their workloads again.
    selecting: BTreeSet<String>,
    /// Nodes that are elsewhere than before.
    moved: BTreeSet<String>,
}

impl World {
    /// Takes an event in and says what it touched. Applying what is already there touches nothing.
    pub fn apply(&mut self, event: Event) -> Change {
        self.events += 1;
        let mut effects = Effects::default();
        match event {
            Event::Apply(object) => self.insert(object, &mut effects),
            Event::Delete(kind, key) => self.remove(kind, &key, &mut effects),
            Event::Replace(kind, objects) => {
                let kept: BTreeSet<Key> = objects
                    .iter()
                    .filter(|object| object.kind() == kind)
                    .map(Object::key)
                    .collect();
                for key in self.keys(kind) {
                    if !kept.contains(&key) {
                        self.remove(kind, &key, &mut effects);
                    }
                }
                objects
                    .into_iter()
                    .for_each(|object| self.insert(object, &mut effects));
                effects.change.listed = self.listed.insert(kind);
            }
        }
        let Effects {
            mut change,
            selecting,
            moved,
        } = effects;
        for namespace in selecting {
            self.select(&namespace, &mut change);
        }
        self.touch_nodes(&moved, &mut change);
        self.spread(&mut change);
        if !change.is_empty() {
            self.revision += 1;
        }
        change
    }

    fn insert(&mut self, object: Object, effects: &mut Effects) {
        let change = &mut effects.change;
        match object {
            Object::Namespace(namespace) => {
                self.namespaces.insert(namespace.name.clone(), namespace);
            }
            Object::Node(node) => {
                let name = node.name.clone();
                if self.nodes.insert(node) {
                    effects.moved.insert(name);
                }
            }
            Object::Pod(pod) => {
                let old = self.pods.get(&pod.key);
                if old == Some(&pod) {
                    return;
                }
                if old.is_none_or(|old| old.labels != pod.labels) {
                    self.touch_endpoints_of(&pod.key, change);
                    effects.selecting.insert(pod.key.namespace.clone());
                }
                change.pods.insert(pod.key.clone());
                self.pods.insert(pod);
            }
            Object::Service(service) => self.services.insert(service, &self.cluster_domain, change),
            Object::EndpointSlice(slice) => {
                effects.selecting.insert(slice.key.namespace.clone());
                self.services.insert_slice(slice, &self.cluster_domain, change);
            }
            Object::PodAddress(pod) => {
                let slice = pod.slice();
                // Most of what happens to a pod says nothing of where it is.
                if !self.services.has_slice(&slice) {
                    effects.selecting.insert(slice.key.namespace.clone());
                    self.services.insert_slice(slice, &self.cluster_domain, change);
                }
            }
            Object::VirtualService(rule) => {
                let rule = rule.resolved(&self.cluster_domain);
                let key = rule.meta.key.clone();
                let old = self.virtual_services.get(&key);
                if old == Some(&rule) {
                    return;
                }
                let mut hosts = match old.is_some_and(Rule::is_delegate) || rule.is_delegate() {
                    true => self.virtual_services.delegating_to(&key),
                    false => BTreeSet::new(),
                };
                self.touch_virtual_service(&key, change);
                hosts.extend(self.virtual_services.insert(rule));
                self.touch_hosts(hosts, change);
            }
            Object::DestinationRule(rule) => {
                let rule = rule.resolved(&self.cluster_domain);
                if self.destination_rules.get(&rule.meta.key) == Some(&rule) {
                    return;
                }
                change
                    .rules
                    .insert((Kind::DestinationRule, rule.meta.key.clone()));
                let hosts = self.destination_rules.insert(rule);
                self.touch_policies(hosts, change);
            }
            Object::ServiceEntry(rule) => {
                let (key, rule) = (rule.meta.key.clone(), rule.with_hosts());
                if self.service_entries.get(&key) != Some(&rule) {
                    let hosts = self.service_entries.insert(rule);
                    self.make_entries(&key.namespace, hosts, change);
                    change.rules.insert((Kind::ServiceEntry, key));
                }
            }
            Object::WorkloadEntry(rule) => {
                let key = rule.meta.key.clone();
                if self.workload_entries.get(&key) != Some(&rule) {
                    self.workload_entries.insert(*rule);
                    effects.selecting.insert(key.namespace.clone());
                    change.rules.insert((Kind::WorkloadEntry, key));
                }
            }
            Object::Sidecar(rule) => {
                if self.sidecars.get(&rule.meta.key) != Some(&rule) {
                    change.rules.insert((Kind::Sidecar, rule.meta.key.clone()));
                    self.sidecars.insert(rule);
                    change.views = true;
                }
            }
        }
    }

    fn remove(&mut self, kind: Kind, key: &Key, effects: &mut Effects) {
        let change = &mut effects.change;
        match kind {
            Kind::Namespace => {
                self.namespaces.remove(&key.name);
            }
            Kind::Node => {
                if self.nodes.remove(&key.name) {
                    effects.moved.insert(key.name.clone());
                }
            }
            Kind::Pod => {
                if self.pods.remove(key) {
                    self.touch_endpoints_of(key, change);
                    change.pods.insert(key.clone());
                    effects.selecting.insert(key.namespace.clone());
                }
            }
            Kind::Service => self.services.remove(key, &self.cluster_domain, change),
            Kind::EndpointSlice => {
                effects.selecting.insert(key.namespace.clone());
                self.services.remove_slice(key, &self.cluster_domain, change);
            }
            Kind::PodAddress => {
                effects.selecting.insert(key.namespace.clone());
                let slice = PodAddress::slice_of(key);
                self.services.remove_slice(&slice, &self.cluster_domain, change);
            }
            Kind::VirtualService => {
                if self.virtual_services.get(key).is_some() {
                    self.touch_virtual_service(key, change);
                    let mut hosts = self.virtual_services.remove(key);
                    if hosts.is_empty() {
                        hosts = self.virtual_services.delegating_to(key);
                    }
                    self.touch_hosts(hosts, change);
                }
            }
            Kind::DestinationRule => {
                if self.destination_rules.get(key).is_some() {
                    change.rules.insert((kind, key.clone()));
                    let hosts = self.destination_rules.remove(key);
                    self.touch_policies(hosts, change);
                }
            }
            Kind::ServiceEntry => {
                if self.service_entries.get(key).is_some() {
                    change.rules.insert((kind, key.clone()));
                    let hosts = self.service_entries.remove(key);
                    self.make_entries(&key.namespace, hosts, change);
                }
            }
            Kind::WorkloadEntry => {
                if self.workload_entries.get(key).is_some() {
                    change.rules.insert((kind, key.clone()));
                    self.workload_entries.remove(key);
                    effects.selecting.insert(key.namespace.clone());
                }
            }
            Kind::Sidecar => {
                if self.sidecars.get(key).is_some() {
                    change.rules.insert((kind, key.clone()));
                    self.sidecars.remove(key);
                    change.views = true;
                }
            }
        }
    }

    pub(super) fn keys(&self, kind: Kind) -> Vec<Key> {
        match kind {
            Kind::Namespace => self.namespaces.keys().map(|name| Key::new("", name)).collect(),
            Kind::Node => self.nodes.names().map(|name| Key::new("", name)).collect(),
            Kind::Pod => self.pods.all().map(|pod| pod.key.clone()).collect(),
            Kind::Service => self.services.keys().cloned().collect(),
            Kind::EndpointSlice => self.services.slice_keys().cloned().collect(),
            Kind::PodAddress => self.services.pod_addresses().collect(),
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
            Kind::WorkloadEntry => self
                .workload_entries
                .all()
                .map(|rule| rule.meta.key.clone())
                .collect(),
            Kind::Sidecar => self.sidecars.all().map(|rule| rule.meta.key.clone()).collect(),
        }
    }
}
