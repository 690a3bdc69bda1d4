//! What DestinationRules say of a host to a client: which of them speak, what a subset is, and what of a policy is for one
//! port. Before: `routes` knows the destination. After: `policy` publishes it.

use std::collections::BTreeMap;

use crate::api::{
    ClientTlsSettings, ConnectionPoolSettings, DestinationRuleSpec, LoadBalancerSettings, OutlierDetection,
    RetryBudget, Subset, TrafficPolicy,
};
use crate::control::compile::Client;
use crate::control::world::{Key, Rule, World};

/// The DestinationRules that a client follows for a host.
pub(super) struct Rules<'a> {
    /// All of one namespace; the first that has a policy says it, subsets are those of all of them.
    all: Vec<&'a Rule<DestinationRuleSpec>>,
}

/// The parts of a policy that are for one port and one subset.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts<'a> {
    pub(super) load_balancer: Option<&'a LoadBalancerSettings>,
    pub(super) connection_pool: Option<&'a ConnectionPoolSettings>,
    pub(super) outlier_detection: Option<&'a OutlierDetection>,
    pub(super) tls: Option<&'a ClientTlsSettings>,
    pub(super) retry_budget: Option<&'a RetryBudget>,
    /// A field that is not supported and that must not be left out in silence.
    pub(super) unsupported: Option<&'static str>,
}

impl<'a> Rules<'a> {
    /// Those of the client's namespace if there are any, else what the service's namespace exports to it, else what the
    /// root namespace does.
    pub(super) fn of(world: &'a World, client: &Client, service: &Key, host: &str) -> Self {
        let of_namespace = |namespace: &str| {
            let own = namespace == client.namespace;
            let mut all: Vec<_> = world
                .destination_rules_for(host)
                .filter(|rule| rule.meta.key.namespace == namespace)
                .filter(|rule| own || rule.is_exported_to(&client.namespace))
                .filter(|rule| selects(rule, client, own))
                .collect();
            // Of the most specific host, and of these those for this very client before those for all.
            let hosts = all.first().map(|rule| rule.hosts.clone());
            all.retain(|rule| Some(&rule.hosts) == hosts.as_ref());
            let mut selectors = all.iter().map(|rule| rule.spec.workload_selector.as_ref());
            let selector = selectors.find(Option::is_some).flatten();
            all.retain(|rule| rule.spec.workload_selector.as_ref() == selector);
            all
        };
        let namespaces = [&client.namespace, &service.namespace, &world.root_namespace];
        let mut found = namespaces.into_iter().map(|namespace| of_namespace(namespace));
        Self {
            all: found.find(|all| !all.is_empty()).unwrap_or_default(),
        }
    }

    pub(super) fn subset(&self, name: &str) -> Option<&'a Subset> {
        self.all
            .iter()
            .flat_map(|rule| &rule.spec.subsets)
            .find(|subset| subset.name == name)
    }

    /// What is for a port: the host's policy, and over it the subset's.
    pub(super) fn parts(&self, subset: Option<&'a Subset>, port: u16) -> Parts<'a> {
        let of_host = self.all.iter().find_map(|rule| rule.spec.traffic_policy.as_ref());
        let of_subset = subset.and_then(|subset| subset.traffic_policy.as_ref());
        [of_host, of_subset]
            .into_iter()
            .flatten()
            .fold(Parts::default(), |parts, policy| parts.with(policy, port))
    }

    /// The rules' names, for what is said to their author.
    pub(super) fn title(&self) -> String {
        let titles: Vec<_> = self.all.iter().map(|rule| rule.title()).collect();
        titles.join(" and ")
    }
}

/// Whether a rule is for this client: one with a selector only for pods of its own namespace.
fn selects(rule: &Rule<DestinationRuleSpec>, client: &Client, own: bool) -> bool {
    let Some(selector) = &rule.spec.workload_selector else {
        return true;
    };
    // What is not understood of a selector may be what keeps this client out.
    let understood = !rule.has_mistake("spec.workloadSelector");
    let mut labels = selector.match_labels.iter();
    own && understood && labels.all(|(label, value)| client.labels.get(label) == Some(value))
}

impl<'a> Parts<'a> {
    /// Each field that the policy sets takes the place of the one before. What it says for the port takes the place of all
    /// of them, also of those that it leaves out ("Port Traffic Policy" in Istio's reference).
    fn with(mut self, policy: &'a TrafficPolicy, port: u16) -> Self {
        self.load_balancer = policy.load_balancer.as_ref().or(self.load_balancer);
        self.connection_pool = policy.connection_pool.as_ref().or(self.connection_pool);
        self.outlier_detection = policy.outlier_detection.as_ref().or(self.outlier_detection);
        self.tls = policy.tls.as_ref().or(self.tls);
        self.retry_budget = policy.retry_budget.as_ref().or(self.retry_budget);
        if policy.tunnel.is_some() {
            self.unsupported = Some("tunnel");
        } else if policy.proxy_protocol.is_some() {
            self.unsupported = Some("proxyProtocol");
        }
        let of_port = policy
            .port_level_settings
            .iter()
            .find(|one| one.port.as_ref().is_some_and(|one| one.number == port));
        if let Some(of_port) = of_port {
            self.load_balancer = of_port.load_balancer.as_ref();
            self.connection_pool = of_port.connection_pool.as_ref();
            self.outlier_detection = of_port.outlier_detection.as_ref();
            self.tls = of_port.tls.as_ref();
        }
        self
    }
}

/// The resource name of endpoints: "HOST:PORT", or "HOST:PORT/LABEL=VALUE,LABEL=VALUE".
pub(super) fn resource_name(host: &str, port: u16, labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<_> = labels
        .iter()
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    match labels.is_empty() {
        true => format!("{host}:{port}"),
        false => format!("{host}:{port}/{}", labels.join(",")),
    }
}
