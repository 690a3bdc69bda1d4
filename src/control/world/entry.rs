//! ServiceEntries as services of the world: each host of a namespace's ServiceEntries is a service like Kubernetes' own, with
//! slices of endpoints, so that whoever compiles routes or endpoints need not tell them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::rule::{Mention, Rule, RuleSpec};
use super::{Endpoint, EndpointSlice, Key, Service, ServicePort, host};
use crate::api::{EntryPort, Findings, Resolution, ServiceEntrySpec, WorkloadEntrySpec};

/// The protocols that Istio's `ports[].protocol` can name, beside those of a dash more (`GRPC-WEB`).
const PROTOCOLS: [&str; 10] = [
    "HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "MONGO", "MYSQL", "REDIS", "TCP", "TLS",
];

impl RuleSpec for ServiceEntrySpec {
    const KIND: &'static str = "ServiceEntry";

    fn hosts(&self) -> &[String] {
        &self.hosts
    }

    fn export_to(&self) -> &[String] {
        &self.export_to
    }

    fn mentions(&self, namespace: &str) -> Vec<Mention> {
        let selector = self.workload_selector.iter();
        selector
            .map(|_| Mention::Workloads(namespace.to_owned()))
            .collect()
    }

    /// As Istio's validation has it (`pkg/config/validation`), except that only what is wrong has no effect.
    fn validate(&self, found: &mut Findings) {
        if self.hosts.is_empty() {
            found.error("spec.hosts", "names no host");
        }
        for (index, name) in self.hosts.iter().enumerate() {
            if let Some(why) = self.host_mistake(name) {
                found.error(format!("spec.hosts[{index}]"), why);
            }
        }
        for (index, address) in self.addresses.iter().enumerate() {
            if range(address).is_none() {
                let why = "is neither an IP address nor a CIDR";
                found.error(format!("spec.addresses[{index}]"), why);
            }
        }
        self.validate_ports(found);
        self.validate_endpoints(found);
        if self.resolution() == Resolution::DynamicDns {
            found.warning("spec.resolution", "DYNAMIC_DNS is taken for NONE");
        }
        if !self.subject_alt_names.is_empty() {
            found.warning(
                "spec.subjectAltNames",
                "has no effect: names in certificates are those of a DestinationRule's tls.subjectAltNames",
            );
        }
    }
}

impl ServiceEntrySpec {
    /// Istio's default is NONE.
    pub(in crate::control) fn resolution(&self) -> Resolution {
        self.resolution.unwrap_or_default()
    }

    pub(super) fn is_dns(&self) -> bool {
        matches!(self.resolution(), Resolution::Dns | Resolution::DnsRoundRobin)
    }

    fn host_mistake(&self, name: &str) -> Option<&'static str> {
        let wildcard = name.starts_with('*');
        let plain = name.strip_prefix("*.").unwrap_or(name);
        if name == "*" {
            Some("stands for every host, which no ServiceEntry may")
        } else if !is_dns_name(plain) && plain.parse::<IpAddr>().is_err() {
            Some("is not a DNS name")
        } else if wildcard && self.is_dns() && self.endpoints.is_empty() && self.workload_selector.is_none() {
            Some("is a wildcard, which cannot be resolved: resolution DNS needs endpoints for it")
        } else {
            None
        }
    }

    fn validate_ports(&self, found: &mut Findings) {
        if self.ports.is_empty() {
            found.error("spec.ports", "names no port");
        }
        let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (index, port) in self.ports.iter().enumerate() {
            let field = |field: &str| format!("spec.ports[{index}].{field}");
            if number(port.number).is_none() {
                found.error(field("number"), "is not between 1 and 65535");
            } else if !numbers.insert(port.number) {
                found.error(field("number"), "is there twice");
            }
            if !port.name.is_empty() && !names.insert(&port.name) {
                found.error(field("name"), "is there twice");
            }
            if let Some(protocol) = &port.protocol {
                if is_udp(port) {
                    found.warning(field("protocol"), "UDP is not carried; the port has no effect");
                } else if !PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(protocol)) {
                    found.error(field("protocol"), "is not a protocol that Istio knows");
                }
            }
            match port.target_port {
                Some(target) if number(target).is_none() => {
                    found.error(field("targetPort"), "is not between 1 and 65535");
                }
                Some(_) if !self.has_endpoints() => {
                    let why = "has no effect: resolution NONE keeps the port that was dialled";
                    found.warning(field("targetPort"), why);
                }
                _ => {}
            }
        }
    }

    fn validate_endpoints(&self, found: &mut Findings) {
        if self.endpoints.is_empty() {
            return;
        }
        if !self.has_endpoints() {
            found.error(
                "spec.endpoints",
                "resolution NONE leads to where the client dialled",
            );
        } else if self.workload_selector.is_some() {
            found.error("spec.endpoints", "workloadSelector stands in its place");
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let field = |field: &str| format!("spec.endpoints[{index}].{field}");
            let is_name = endpoint.ip().is_none() && !endpoint.is_socket();
            if is_name && !self.is_dns() {
                found.error(
                    field("address"),
                    "is not an IP address, which resolution STATIC needs",
                );
            } else if is_name && !is_dns_name(&endpoint.address) {
                found.error(field("address"), "is neither an IP address nor a DNS name");
            }
            for (name, port) in &endpoint.ports {
                let field = field(&format!("ports.{name}"));
                if !self.ports.iter().any(|known| known.name == *name) {
                    found.error(field, "is not the name of one of the ports");
                } else if number(*port).is_none() {
                    found.error(field, "is not between 1 and 65535");
                }
            }
            endpoint.warn(&format!("spec.endpoints[{index}]"), found);
        }
    }

    /// Whether it leads to endpoints, and not to where the client dialled.
    fn has_endpoints(&self) -> bool {
        !matches!(self.resolution(), Resolution::None | Resolution::DynamicDns)
    }
}

impl Rule<ServiceEntrySpec> {
    /// With the hosts that can be honoured, in lower case. Short names stay what they are, as in Istio.
    pub(super) fn with_hosts(mut self) -> Self {
        let hosts = self.spec.hosts.iter().enumerate();
        let good = hosts.filter(|(index, _)| !self.has_mistake(&format!("spec.hosts[{index}]")));
        self.hosts = good.map(|(_, name)| name.to_ascii_lowercase()).collect();
        self
    }

    /// The ports that can be honoured.
    fn ports(&self) -> impl Iterator<Item = (&EntryPort, u16)> {
        let good = |index: &usize| {
            let mut fields = ["number", "name", "protocol"].into_iter();
            let errors = &self.findings.errors;
            !fields.any(|field| errors.contains_key(&format!("spec.ports[{index}].{field}")))
        };
        let ports = self
            .spec
            .ports
            .iter()
            .enumerate()
            .filter(|(_, port)| !is_udp(port));
        ports.filter_map(move |(index, port)| Some((port, number(port.number).filter(|_| good(&index))?)))
    }

    /// The endpoints that the object itself lists, for one host.
    fn listed(&self, host: &str) -> Vec<Endpoint> {
        if !self.spec.has_endpoints() || self.spec.workload_selector.is_some() {
            return Vec::new();
        }
        if self.spec.endpoints.is_empty() {
            // With resolution DNS the host is where it is.
            let own = WorkloadEntrySpec {
                address: host.to_owned(),
                ..Default::default()
            };
            let own = self.spec.is_dns().then(|| self.endpoint(own));
            return own.into_iter().collect();
        }
        let good = |index: &usize| !self.has_mistake(&format!("spec.endpoints[{index}].address"));
        let listed = self.spec.endpoints.iter().enumerate();
        listed
            .filter(|(index, entry)| good(index) && !entry.is_socket())
            .map(|(_, entry)| self.endpoint(entry.clone()))
            .collect()
    }

    /// The endpoint that a WorkloadEntry is for it, whether listed or selected.
    pub(super) fn endpoint(&self, mut entry: WorkloadEntrySpec) -> Endpoint {
        let named = std::mem::take(&mut entry.ports);
        // The service's ports are called by their numbers, since several objects make one service.
        let of_name = |name: &str| self.ports().find(|(port, _)| port.name == name);
        entry.ports = named
            .into_iter()
            .filter(|(_, port)| number(*port).is_some())
            .filter_map(|(name, port)| Some((of_name(&name)?.1.to_string(), port)))
            .collect();
        entry.address.make_ascii_lowercase();
        Endpoint {
            addresses: entry.ip().into_iter().collect(),
            ready: true,
            entry: Some(Box::new(entry)),
            ..Default::default()
        }
    }

    /// The endpoints for one host; `selected` are those that its selector means.
    pub(super) fn slice(&self, host: &str, selected: Vec<Endpoint>) -> EndpointSlice {
        let Key { namespace, name } = &self.meta.key;
        let target = |port: &EntryPort| port.target_port.and_then(number);
        EndpointSlice {
            key: Key::new(namespace, &format!("{name}/{host}")),
            service: host::key(namespace, host),
            ports: self
                .ports()
                .map(|(port, number)| (number.to_string(), target(port).unwrap_or(number)))
                .collect(),
            endpoints: match self.spec.workload_selector {
                Some(_) => selected,
                None => self.listed(host),
            },
        }
    }
}

/// The service that a host is, by the ServiceEntries of one namespace that name it, the oldest first: it decides all but the
/// ports and addresses, which are those of all of them.
pub(super) fn service(host: &str, rules: &[&Rule<ServiceEntrySpec>]) -> Option<Service> {
    let first = rules.first()?;
    let mut ports: BTreeMap<u16, ServicePort> = BTreeMap::new();
    let mut ranges: Vec<IpNet> = Vec::new();
    for rule in rules {
        for (port, number) in rule.ports() {
            ports.entry(number).or_insert_with(|| ServicePort {
                name: number.to_string(),
                port: number,
                app_protocol: Some(port.protocol.clone().unwrap_or_else(|| port.name.clone())),
            });
        }
        ranges.extend(rule.spec.addresses.iter().filter_map(|address| range(address)));
    }
    ranges.sort_unstable();
    ranges.dedup();
    Some(Service {
        key: host::key(&first.meta.key.namespace, host),
        addresses: Vec::new(),
        ranges,
        ports: ports.into_values().collect(),
        original_destination: !first.spec.has_endpoints(),
        external_name: None,
        export_to: first.spec.export_to.clone(),
        ..Default::default()
    })
}

/// The endpoints of an ExternalName service: the name that it is an alias of.
pub(super) fn alias(service: &Service) -> Option<EndpointSlice> {
    let name = service.external_name.clone()?;
    let Key { namespace, name: own } = &service.key;
    let entry = WorkloadEntrySpec {
        address: name,
        ..Default::default()
    };
    Some(EndpointSlice {
        key: Key::new(namespace, &format!("{own}/")),
        service: service.key.clone(),
        ports: service
            .ports
            .iter()
            .map(|port| (port.name.clone(), port.port))
            .collect(),
        endpoints: vec![Endpoint {
            addresses: entry.ip().into_iter().collect(),
            ready: true,
            entry: Some(Box::new(entry)),
            ..Default::default()
        }],
    })
}

fn is_udp(port: &EntryPort) -> bool {
    let protocol = port.protocol.as_ref();
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("UDP"))
}

pub(super) fn number(port: u32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}

fn range(address: &str) -> Option<IpNet> {
    let range = address.parse::<IpNet>().ok().map(|range| range.trunc());
    range.or_else(|| address.parse::<IpAddr>().ok().map(IpNet::from))
}

pub(super) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(inner)
    };
    name.len() <= 253 && name.split('.').all(label)
}
