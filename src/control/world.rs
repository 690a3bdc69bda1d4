//! What the control plane knows of the cluster, indexed for `compile`. Fed by `watch` or `directory` through `feed`, one event at a time.

mod apply;
mod change;
mod entry;
mod event;
mod host;
mod judged;
mod made;
mod nodes;
mod objects;
mod pods;
mod rule;
mod rules;
mod services;
mod touched;
mod view;
mod workload;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

pub use change::{Change, RuleKey};
pub use event::{Event, Kind, Object};
pub(in crate::control) use host::matches;
pub use nodes::Node;
pub use objects::{Endpoint, EndpointSlice, Key, Namespace, Pod, Service, ServicePort, TrafficDistribution};
pub use pods::PodAddress;
pub use rule::{Mention, Meta, Rule, RuleSpec};
pub use view::View;

use crate::api::{
    DestinationRuleSpec, OutboundMode, ServiceEntrySpec, SidecarSpec, VirtualServiceSpec, WorkloadEntrySpec,
};
use nodes::Nodes;
use pods::Pods;
use rules::Rules;
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
    /// What becomes of destinations that a pod does not see, where no Sidecar says it.
    pub outbound_mode: OutboundMode,
    namespaces: HashMap<String, Namespace>,
    nodes: Nodes,
    pods: Pods,
    services: Services,
    virtual_services: Rules<VirtualServiceSpec>,
    destination_rules: Rules<DestinationRuleSpec>,
    service_entries: Rules<ServiceEntrySpec>,
    workload_entries: Rules<WorkloadEntrySpec>,
    sidecars: Rules<SidecarSpec>,
    listed: BTreeSet<Kind>,
    events: u64,
    revision: u64,
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
            outbound_mode: OutboundMode::AllowAny,
            namespaces: HashMap::new(),
            nodes: Nodes::default(),
            pods: Pods::default(),
            services: Services::default(),
            virtual_services: Rules::default(),
            destination_rules: Rules::default(),
            service_entries: Rules::default(),
            workload_entries: Rules::default(),
            sidecars: Rules::default(),
            listed: BTreeSet::new(),
            events: 0,
            revision: 0,
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

    /// The DestinationRule of that namespace and name.
    pub fn destination_rule(&self, key: &Key) -> Option<&Rule<DestinationRuleSpec>> {
        self.destination_rules.get(key)
    }

    /// The ServiceEntry of that namespace and name.
    pub fn service_entry(&self, key: &Key) -> Option<&Rule<ServiceEntrySpec>> {
        self.service_entries.get(key)
    }

    /// The WorkloadEntry of that namespace and name.
    pub fn workload_entry(&self, key: &Key) -> Option<&Rule<WorkloadEntrySpec>> {
        self.workload_entries.get(key)
    }

    /// The Sidecar of that namespace and name.
    pub fn sidecar(&self, key: &Key) -> Option<&Rule<SidecarSpec>> {
        self.sidecars.get(key)
    }

    /// The ServiceEntries that name this very host or wildcard, the oldest first.
    pub fn service_entries_naming(&self, host: &str) -> Vec<&Rule<ServiceEntrySpec>> {
        self.service_entries.naming(host)
    }

    /// The ServiceEntries of a namespace that select workloads, by name.
    pub fn service_entries_selecting(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = &Rule<ServiceEntrySpec>> {
        let workloads = Mention::Workloads(namespace.to_owned());
        let keys = self.service_entries.mentioning(&workloads);
        keys.filter_map(|key| self.service_entries.get(key))
    }

    /// The namespaces with such ServiceEntries: where the addresses of pods matter that no Service selects. Nobody knows
    /// before the ServiceEntries are known.
    pub fn namespaces_selecting(&self) -> Option<BTreeSet<&str>> {
        let known = self.listed.contains(&Kind::ServiceEntry);
        known.then(|| self.service_entries.namespaces_of_workloads().collect())
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

    /// Every WorkloadEntry, by namespace and name.
    pub fn workload_entries(&self) -> impl Iterator<Item = &Rule<WorkloadEntrySpec>> {
        self.workload_entries.all()
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

    /// Another number whenever something is another than before: what was made of the world is as good as new until then.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Those of a client's labels that any rule asks for with the value that they have. Clients of a namespace that are alike
    /// in these are told the same.
    pub fn labels_asked_for(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let asked_for = |label: &Mention| {
            self.virtual_services.is_mentioned(label)
                || self.destination_rules.is_mentioned(label)
                || self.sidecars.is_mentioned(label)
        };
        let mut labels = labels.clone();
        labels.retain(|label, value| asked_for(&Mention::Label(label.clone(), value.clone())));
        labels
    }
}

#[cfg(test)]
mod tests;
