//! What a change concerns besides what it is about: rules name hosts, hosts have endpoints, routes lead to other hosts.
//! A part of `world`.

use std::collections::BTreeSet;

use super::{ALIASES, Change, Endpoint, Key, Kind, Rule, World, host};

impl World {
    /// The services whose subsets are chosen by this pod's labels.
    pub(super) fn touch_endpoints_of(&self, pod: &Key, change: &mut Change) {
        for service in self.services.of_pod(pod) {
            change.endpoints.insert(host::of(service, &self.cluster_domain));
        }
    }

    /// Where a node is, is where the endpoints on it are, and the clients.
    pub(super) fn touch_nodes(&self, nodes: &BTreeSet<String>, change: &mut Change) {
        if nodes.is_empty() {
            return;
        }
        let is_on_them =
            |endpoint: &&Endpoint| endpoint.node.as_ref().is_some_and(|node| nodes.contains(node));
        for slice in self.services.all_slices() {
            let mut on_them = slice.endpoints.iter().filter(is_on_them).peekable();
            if on_them.peek().is_some() {
                change
                    .endpoints
                    .insert(host::of(&slice.service, &self.cluster_domain));
            }
            change
                .pods
                .extend(on_them.filter_map(|endpoint| endpoint.pod.clone()));
        }
    }

    /// A VirtualService that is about to be another, or none, and with it what it delegates to.
    pub(super) fn touch_virtual_service(&self, key: &Key, change: &mut Change) {
        let old = self.virtual_services.get(key);
        let keys = old.into_iter().flat_map(Rule::delegates).chain([key.clone()]);
        change.rules.extend(keys.map(|key| (Kind::VirtualService, key)));
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
    }

    /// Hosts that were touched, and the ExternalName services that are aliases of them.
    pub(super) fn with_aliases(&self, hosts: &BTreeSet<String>) -> BTreeSet<String> {
        let mut names = hosts.clone();
        let aliases = self
            .services
            .outside()
            .filter_map(|service| Some((self.host_of(service), service.external_name.as_deref()?)));
        let aliases: Vec<_> = aliases.collect();
        for _ in 0..ALIASES {
            let is_touched = |name: &str| {
                let mut wildcards = names.range("*".to_owned().."+".to_owned());
                names.contains(name) || wildcards.any(|pattern| host::matches(pattern, name))
            };
            let more = aliases.iter().filter(|(_, name)| is_touched(name));
            let more: BTreeSet<_> = more.map(|(own, _)| own.clone()).collect();
            if more.is_subset(&names) {
                break;
            }
            names.extend(more);
        }
        names
    }

    /// A route depends on the services that it leads to and on their subsets, so what leads to a touched host is touched too.
    pub(super) fn spread(&self, change: &mut Change) {
        if change.hosts.is_empty() {
            return;
        }
        let names = self.with_aliases(&change.hosts);
        let leading: BTreeSet<_> = names
            .iter()
            .flat_map(|name| self.virtual_services.leading_to(name))
            .collect();
        let leading = leading
            .into_iter()
            .filter_map(|key| self.virtual_services.get(key));
        let reached = leading.flat_map(|rule| self.routed_by(rule)).collect();
        self.touch_hosts(reached, change);
    }
}
