//! WorkloadEntries: what one can mean, as an object of its own or in a ServiceEntry's list, and which pods and WorkloadEntries a
//! ServiceEntry selects. A part of `world`. After: `entry` makes endpoints of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::entry::{is_dns_name, number};
use super::rule::{Rule, RuleSpec};
use super::{Endpoint, Key, World};
use crate::api::{Findings, ServiceEntrySpec, WorkloadEntrySpec, names};

impl RuleSpec for WorkloadEntrySpec {
    const KIND: &'static str = "WorkloadEntry";

    /// It is for those that select it, not for hosts.
    fn hosts(&self) -> &[String] {
        &[]
    }

    fn export_to(&self) -> &[String] {
        &[]
    }

    /// Istio's precedence: the object's own labels come before those of its spec.
    fn label(&mut self, labels: BTreeMap<String, String>) {
        self.labels.extend(labels);
    }

    /// As Istio's validation has it (`pkg/config/validation`). What resolution the address is for is the ServiceEntry's to say.
    fn validate(&self, found: &mut Findings) {
        if self.address.is_empty() {
            found.error("spec.address", "is missing: an IP address or a DNS name");
        } else if !self.is_socket() && self.ip().is_none() && !is_dns_name(&self.address) {
            found.error("spec.address", "is neither an IP address nor a DNS name");
        }
        for (name, port) in &self.ports {
            if number(*port).is_none() {
                found.error(format!("spec.ports.{name}"), "is not between 1 and 65535");
            }
        }
        for (name, value) in &self.labels {
            found.check(format!("spec.labels.{name}"), names::label(name, value));
        }
        self.warn("spec", found);
    }
}

impl WorkloadEntrySpec {
    /// Says what of it has no effect wherever it is an endpoint. `at` is where it is in the object.
    pub(super) fn warn(&self, at: &str, found: &mut Findings) {
        if self.is_socket() {
            let why = "has no effect: a pod does not have this socket";
            found.warning(format!("{at}.address"), why);
        }
        if self.network.is_some() {
            let why =
                "has no effect: the address is dialled as it is, there are no gateways between networks";
            found.warning(format!("{at}.network"), why);
        }
        if self.service_account.is_some() {
            let why = "has no effect: there are no identities yet";
            found.warning(format!("{at}.serviceAccount"), why);
        }
    }

    pub(super) fn is_socket(&self) -> bool {
        self.address.starts_with("unix:")
    }

    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

impl Rule<ServiceEntrySpec> {
    /// Whether it means a WorkloadEntry of its namespace.
    pub fn selects(&self, entry: &Rule<WorkloadEntrySpec>) -> bool {
        let selector = self.spec.workload_selector.as_ref();
        selector.is_some_and(|selector| selector.selects(&entry.spec.labels))
    }

    /// Whether it can lead to the address of a WorkloadEntry, if that is one: names need resolution DNS.
    pub fn leads_to(&self, entry: &Rule<WorkloadEntrySpec>) -> bool {
        let is_name = entry.spec.ip().is_none() && !entry.spec.is_socket();
        self.spec.is_dns() || !is_name || entry.has_mistake("spec.address")
    }
}

impl World {
    /// What a ServiceEntry's selector means: pods whose addresses are known, and WorkloadEntries.
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
        let of_pods = pods.into_iter().flat_map(|pod| self.services.endpoints_of(pod));
        let entries = self.workload_entries.in_namespace(namespace);
        let entries = entries.filter(|entry| {
            rule.selects(entry)
                && rule.leads_to(entry)
                && !entry.spec.is_socket()
                && !entry.has_mistake("spec.address")
        });
        let of_entries = entries.map(|entry| rule.endpoint(entry.spec.clone()));
        of_pods.chain(of_entries).collect()
    }
}
