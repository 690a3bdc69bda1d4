//! The rules that a change may have made wrong, or right again: those that say something of what it touched. A part of `world`.
//! After: `compile::problems` looks at each.

use std::collections::BTreeSet;

use super::rule::Mention;
use super::{Change, Key, Kind, Rule, RuleKey, World, host};

impl World {
    /// Every rule, of whichever kind.
    pub fn rules(&self) -> BTreeSet<RuleKey> {
        let kinds = [
            Kind::VirtualService,
            Kind::DestinationRule,
            Kind::ServiceEntry,
            Kind::WorkloadEntry,
            Kind::Sidecar,
        ];
        let keys = |kind| self.keys(kind).into_iter().map(move |key| (kind, key));
        kinds.into_iter().flat_map(keys).collect()
    }

    /// The rules in which something may be wrong that was right before the change, or the other way round.
    pub fn rules_touched(&self, change: &Change) -> BTreeSet<RuleKey> {
        let hosts = self.with_aliases(&change.hosts);
        let of = |kind, keys: BTreeSet<Key>| keys.into_iter().map(move |key| (kind, key));
        let mut touched = change.rules.clone();
        for key in self.virtual_services_touched(change, &hosts) {
            // Whether anything delegates to it is what may be wrong with a delegate.
            let rule = self.virtual_services.get(&key).into_iter();
            let all = rule.flat_map(Rule::delegates).chain([key.clone()]);
            touched.extend(all.map(|key| (Kind::VirtualService, key)));
        }
        let hosts: BTreeSet<_> = hosts
            .into_iter()
            .chain(self.with_aliases(&change.endpoints))
            .collect();
        touched.extend(of(Kind::DestinationRule, self.destination_rules_touched(&hosts)));
        touched.extend(of(
            Kind::ServiceEntry,
            self.service_entries_touched(change, &hosts),
        ));
        touched.extend(of(Kind::WorkloadEntry, self.workload_entries_touched(change)));
        touched
    }

    /// Those for the hosts, those that lead there, and those that delegate to others that changed.
    fn virtual_services_touched(&self, change: &Change, hosts: &BTreeSet<String>) -> BTreeSet<Key> {
        let mut touched = BTreeSet::new();
        for host in hosts {
            let own = self.virtual_services.for_host(host);
            touched.extend(own.map(|rule| rule.meta.key.clone()));
            touched.extend(self.virtual_services.leading_to(host).cloned());
            if host::is_wildcard(host) {
                touched.extend(self.virtual_services.below(host).cloned());
            }
        }
        for (_, key) in change
            .rules
            .iter()
            .filter(|(kind, _)| *kind == Kind::VirtualService)
        {
            let delegating = Mention::Delegate(key.clone());
            touched.extend(self.virtual_services.mentioning(&delegating).cloned());
        }
        touched
    }

    /// Whether subsets are anybody depends on endpoints, too.
    fn destination_rules_touched(&self, hosts: &BTreeSet<String>) -> BTreeSet<Key> {
        let mut touched = BTreeSet::new();
        for host in hosts {
            let own = self.destination_rules.for_host(host);
            touched.extend(own.map(|rule| rule.meta.key.clone()));
            if host::is_wildcard(host) {
                touched.extend(self.destination_rules.below(host).cloned());
            }
        }
        touched
    }

    /// Those of the hosts, and all of the namespaces in which a service without an address came, changed or went: of these,
    /// nothing but their order says which one has a port.
    fn service_entries_touched(&self, change: &Change, hosts: &BTreeSet<String>) -> BTreeSet<Key> {
        let naming = hosts.iter().flat_map(|host| self.service_entries.naming(host));
        let mut touched: BTreeSet<_> = naming.map(|rule| rule.meta.key.clone()).collect();
        let entries = change
            .rules
            .iter()
            .filter(|(kind, _)| *kind == Kind::ServiceEntry);
        let mut namespaces: BTreeSet<_> = entries.map(|(_, key)| key.namespace.clone()).collect();
        if change.named {
            let services = change.hosts.iter();
            let services = services.filter_map(|host| host::service(host, &self.cluster_domain));
            namespaces.extend(services.map(|service| service.namespace));
        }
        for namespace in &namespaces {
            let own = self.service_entries.in_namespace(namespace);
            touched.extend(own.map(|rule| rule.meta.key.clone()));
        }
        touched
    }

    /// Whether anything selects them is what may be wrong with them.
    fn workload_entries_touched(&self, change: &Change) -> BTreeSet<Key> {
        let entries = change
            .rules
            .iter()
            .filter(|(kind, _)| *kind == Kind::ServiceEntry);
        let namespaces: BTreeSet<&str> = entries.map(|(_, key)| key.namespace.as_str()).collect();
        let own = namespaces
            .into_iter()
            .flat_map(|namespace| self.workload_entries.in_namespace(namespace));
        own.map(|rule| rule.meta.key.clone()).collect()
    }
}
