//! What the world makes of its objects: a ServiceEntry's services, and the endpoints that its selector means. A part of `world`.

use std::collections::BTreeSet;

use super::{Change, Endpoint, Key, Rule, World, entry, host};
use crate::api::ServiceEntrySpec;

impl World {
    /// Makes the services that the ServiceEntries of a namespace have for these hosts what they are now.
    pub(super) fn make_entries(&mut self, namespace: &str, hosts: BTreeSet<String>, change: &mut Change) {
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
    pub(super) fn select(&mut self, namespace: &str, change: &mut Change) {
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
    pub(super) fn selected(&self, rule: &Rule<ServiceEntrySpec>) -> Vec<Endpoint> {
        let Some(selector) = &rule.spec.workload_selector else {
            return Vec::new();
        };
        let namespace = &rule.meta.key.namespace;
        let pods = self.pods.in_namespace(namespace);
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
}
