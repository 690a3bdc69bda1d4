//! What the control plane says of the proxy's own pod, parsed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::protocol::mesh;

/// The proxy's own pod and the mesh around it.
#[derive(Debug)]
pub struct Workload {
    name: String,
    inbound: HashMap<u16, mesh::Protocol>,
    ranges: Vec<IpNet>,
    host_ports: HashSet<u16>,
    registry_only: bool,
}

impl Workload {
    /// Parses what was published.
    ///
    /// # Errors
    /// The range or port that is not one.
    pub fn new(published: mesh::Workload) -> Result<Self, String> {
        let range = |range: String| {
            range
                .parse()
                .map_err(|error| format!("mesh range {range:?}: {error}"))
        };
        let port = |port: mesh::InboundPort| {
            let number =
                u16::try_from(port.port).map_err(|_| format!("inbound port {}: not a port", port.port))?;
            Ok::<_, String>((number, port.protocol()))
        };
        Ok(Self {
            name: format!("{}/{}", published.namespace, published.name),
            registry_only: published.outbound_policy() == mesh::OutboundPolicy::RegistryOnly,
            host_ports: published
                .host_ports
                .iter()
                .filter_map(|port| u16::try_from(*port).ok())
                .collect(),
            ranges: published
                .mesh_ranges
                .into_iter()
                .map(range)
                .collect::<Result<_, _>>()?,
            inbound: published
                .inbound_ports
                .into_iter()
                .map(port)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether an address can belong to the mesh. Without any range, every address can.
    pub fn may_contain(&self, address: IpAddr) -> bool {
        self.ranges.is_empty() || self.ranges.iter().any(|range| range.contains(&address))
    }

    /// Whether there are services on this port that only a name leads to.
    pub fn has_names_on(&self, port: u16) -> bool {
        self.host_ports.contains(&port)
    }

    /// Whether destinations that the mesh does not know are refused.
    pub fn registry_only(&self) -> bool {
        self.registry_only
    }

    /// What was declared for one of the pod's own ports.
    pub fn inbound(&self, port: u16) -> Option<mesh::Protocol> {
        self.inbound.get(&port).copied()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_ports() {
        let published = mesh::Workload {
            mesh_ranges: vec!["10.0.0.0/8".into(), "fc00::/7".into()],
            inbound_ports: vec![mesh::InboundPort {
                port: 5000,
                protocol: mesh::Protocol::Http.into(),
            }],
            ..Default::default()
        };
        let workload = Workload::new(published).unwrap();
        for (address, expected) in [
            ("10.96.0.1", true),
            ("fd00::1", true),
            ("1.1.1.1", false),
            ("2600::1", false),
        ] {
            assert_eq!(
                workload.may_contain(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert_eq!(workload.inbound(5000), Some(mesh::Protocol::Http));
        assert_eq!(workload.inbound(5001), None);
    }

    #[test]
    fn what_is_not_a_range_or_a_port_is_refused() {
        let range = mesh::Workload {
            mesh_ranges: vec!["10.0.0.0/40".into()],
            ..Default::default()
        };
        assert!(Workload::new(range).unwrap_err().contains("10.0.0.0/40"));
        let port = mesh::InboundPort {
            port: 65_536,
            ..Default::default()
        };
        assert!(
            Workload::new(mesh::Workload {
                inbound_ports: vec![port],
                ..Default::default()
            })
            .is_err()
        );
    }
}
