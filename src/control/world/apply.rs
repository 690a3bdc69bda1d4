//! Events into the world: what each object is kept as, and what it touched. After it: `made` and `touched`.

use std::collections::BTreeSet;

use super::{Change, Event, Key, Kind, Object, Rule, World};

impl World {
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
}
