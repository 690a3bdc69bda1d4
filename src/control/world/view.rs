//! What a client sees of the services: the Sidecar that is for its pod, or everything.

use std::collections::BTreeMap;

use super::rule::{Mention, Rule, RuleSpec, labels};
use super::{Service, World, host};
use crate::api::{Findings, OutboundMode, SidecarSpec, VirtualServiceSpec, WorkloadSelector};

impl RuleSpec for SidecarSpec {
    const KIND: &'static str = "Sidecar";

    /// It is for pods, not for hosts.
    fn hosts(&self) -> &[String] {
        &[]
    }

    fn export_to(&self) -> &[String] {
        &[]
    }

    fn mentions(&self, _namespace: &str) -> Vec<Mention> {
        let selector = self.workload_selector.iter();
        labels(selector.map(|selector| &selector.labels)).collect()
    }

    fn validate(&self, found: &mut Findings) {
        for (index, listener) in self.egress.iter().enumerate() {
            let field = |field: &str| format!("spec.egress[{index}].{field}");
            if listener.hosts.is_empty() {
                found.error(field("hosts"), "names no host, so that nothing is seen by it");
            }
            for (number, pattern) in listener.hosts.iter().enumerate() {
                if pattern.split_once('/').is_none_or(|(_, name)| name.is_empty()) {
                    let why = format!("{pattern:?} is not NAMESPACE/HOST");
                    found.error(field(&format!("hosts[{number}]")), why);
                }
            }
            if let Some(port) = &listener.port
                && !(1..=65535).contains(&port.number)
            {
                found.error(field("port.number"), "is not between 1 and 65535");
            }
        }
    }
}

impl WorkloadSelector {
    /// Whether it means a pod with these labels.
    pub(in crate::control) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels
            .iter()
            .all(|(label, value)| labels.get(label) == Some(value))
    }
}

/// What one client sees.
#[derive(Clone, Debug)]
pub struct View<'a> {
    world: &'a World,
    namespace: &'a str,
    /// The Sidecar whose egress decides, if one does.
    egress: Option<&'a Rule<SidecarSpec>>,
    mode: OutboundMode,
}

impl World {
    /// What the pods of a namespace with these labels see: by the Sidecar that selects them, else by the one of the namespace
    /// without a selector, else by the root namespace's. What one leaves out is the next one's to say, and what becomes of
    /// everything else is at last the mesh's.
    pub fn view<'a>(&'a self, namespace: &'a str, labels: &BTreeMap<String, String>) -> View<'a> {
        let oldest = |namespace: &str, fits: &dyn Fn(&SidecarSpec) -> bool| {
            let of_namespace = self.sidecars.in_namespace(namespace);
            of_namespace
                .filter(|rule| fits(&rule.spec))
                .min_by(|one, other| one.age().cmp(&other.age()))
        };
        let selecting = |spec: &SidecarSpec| {
            let selector = spec.workload_selector.as_ref();
            selector.is_some_and(|selector| selector.selects(labels))
        };
        let default = |spec: &SidecarSpec| spec.workload_selector.is_none();
        let in_order = [
            oldest(namespace, &selecting),
            oldest(namespace, &default),
            oldest(&self.root_namespace, &default),
        ];
        let in_order = || in_order.into_iter().flatten();
        let mode = in_order().find_map(|rule| rule.spec.outbound_traffic_policy.as_ref()?.mode);
        View {
            world: self,
            namespace,
            egress: in_order().find(|rule| !rule.spec.egress.is_empty()),
            mode: mode.unwrap_or(self.outbound_mode),
        }
    }
}

impl View<'_> {
    /// Whether the client may use a port of a service by dialling it. Routes lead to services that it does not see, as in Istio.
    pub fn sees(&self, service: &Service, port: u16) -> bool {
        if !service.is_exported_to(self.namespace) {
            return false;
        }
        let name = self.world.host_of(service);
        self.imports(&service.key.namespace, port, |pattern| {
            host::matches(pattern, &name)
        })
    }

    /// Whether a VirtualService is for connections of the client to a port. As in Istio it has to be imported like a service: by
    /// its own namespace, and by one of its hosts, of which either may be a wildcard for the other.
    pub fn follows(&self, rule: &Rule<VirtualServiceSpec>, port: u16) -> bool {
        self.imports(&rule.meta.key.namespace, port, |pattern| {
            let mut hosts = rule.hosts.iter();
            hosts.any(|host| host::overlap(pattern, host))
        })
    }

    /// Whether the Sidecar has a host for a namespace, on a port, that fits.
    fn imports(&self, namespace: &str, port: u16, fits: impl Fn(&str) -> bool) -> bool {
        let Some(rule) = self.egress else { return true };
        let matches = |imported: &String| {
            let Some((of, pattern)) = imported.split_once('/') else {
                return false;
            };
            let of_namespace = match of {
                "*" => true,
                "." => namespace == self.namespace,
                "~" => false,
                other => namespace == other,
            };
            of_namespace && fits(&pattern.to_ascii_lowercase())
        };
        let on_port = |own: &u32| *own == u32::from(port);
        let mut of_port = rule
            .spec
            .egress
            .iter()
            .filter(|listener| {
                listener
                    .port
                    .as_ref()
                    .is_some_and(|listener| on_port(&listener.number))
            })
            .peekable();
        if of_port.peek().is_some() {
            return of_port.any(|listener| listener.hosts.iter().any(matches));
        }
        let everywhere = rule.spec.egress.iter().filter(|listener| listener.port.is_none());
        everywhere.flat_map(|listener| &listener.hosts).any(matches)
    }

    /// Whether what the client does not see is refused.
    pub fn registry_only(&self) -> bool {
        self.mode == OutboundMode::RegistryOnly
    }
}
