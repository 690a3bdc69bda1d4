//! What the world makes of its objects: a ServiceEntry's services, and the endpoints that its selector means. A part of `world`.

use std::collections::BTreeSet;

use super::{Change, World, entry, host};

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

    /// Selects the workloads of a namespace again for its ServiceEntries that have a selector.
    pub(super) fn select(&mut self, namespace: &str, change: &mut Change) {
        let made: Vec<_> = self
            .service_entries_selecting(namespace)
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
}
