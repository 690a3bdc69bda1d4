//! What a change concerns besides what it is about: rules name hosts, hosts have endpoints, routes lead to other hosts.
//! A part of `world`.

use std::collections::BTreeSet;

use super::{ALIASES, Change, Key, World, host};

impl World {
    /// The services whose subsets are chosen by this pod's labels.
    pub(super) fn touch_endpoints_of(&self, pod: &Key, change: &mut Change) {
        for service in self.services.of_pod(pod) {
            change.endpoints.insert(host::of(service, &self.cluster_domain));
        }
    }

    /// Where a node is, is where the endpoints on it are, and the clients.
    pub(super) fn touch_node(&self, node: &str, change: &mut Change) {
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
    pub(super) fn touch_policies(&self, patterns: BTreeSet<String>, change: &mut Change) {
        if patterns.is_empty() {
            return;
        }
        let mut touched = Change::default();
        self.touch_hosts(patterns, &mut touched);
        touched.endpoints.extend(touched.hosts.iter().cloned());
        change.merge(touched);
    }

    /// What rules name: hosts, or wildcards that stand for every service they match.
    pub(super) fn touch_hosts(&self, patterns: BTreeSet<String>, change: &mut Change) {
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
    pub(super) fn concerns(&self, change: &Change, host: &str) -> bool {
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
    pub(super) fn spread(&self, change: &mut Change) {
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
