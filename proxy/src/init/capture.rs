//! Which connections are redirected: parsed into ports and CIDRs here, so that no text from outside gets further.
//! Comes from [`InitArgs`](super::InitArgs), goes to `rules`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::InitArgs;

/// Ports on which the proxy itself answers from outside the pod: metrics and probes, readiness.
const OWN_PORTS: [u16; 2] = [15020, 15021];

/// Which connections of a pod are redirected to its proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capture {
    /// User and group id of the proxy.
    pub(super) proxy_uid: u32,
    /// Port to which outgoing connections are redirected.
    pub(super) outbound_port: u16,
    /// Port to which incoming connections are redirected.
    pub(super) inbound_port: u16,
    /// Ports on which incoming connections go straight to the app, the proxy's own included.
    pub(super) exclude_inbound_ports: Ports,
    /// Ports to which outgoing connections go straight.
    pub(super) exclude_outbound_ports: Ports,
    /// Addresses to which outgoing connections are redirected.
    pub(super) include_outbound_ranges: Ranges,
    /// Addresses to which outgoing connections go straight; stronger than those included.
    pub(super) exclude_outbound_ranges: Ranges,
}

impl From<&InitArgs> for Capture {
    fn from(args: &InitArgs) -> Self {
        let mut exclude_inbound_ports = args.exclude_inbound_ports.clone();
        exclude_inbound_ports.0.extend(OWN_PORTS);
        Self {
            proxy_uid: args.proxy_uid,
            outbound_port: args.outbound_port,
            inbound_port: args.inbound_port,
            exclude_inbound_ports,
            exclude_outbound_ports: args.exclude_outbound_ports.clone(),
            include_outbound_ranges: args.include_outbound_ranges.clone(),
            exclude_outbound_ranges: args.exclude_outbound_ranges.clone(),
        }
    }
}

/// A comma-separated list of ports, 1 to 65535, as in `traffic.sidecar.istio.io/excludeOutboundPorts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports(pub BTreeSet<u16>);

/// A comma-separated list of CIDRs of either family, or `*` for every address, as in
/// `traffic.sidecar.istio.io/includeOutboundIPRanges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Every address: `*`.
    All,
    /// These; host bits are cleared.
    Only(BTreeSet<IpNet>),
}

/// An entry of a list that is not what the list holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// An entry of [`Ports`].
    #[error("`{0}` is not a port: write whole numbers from 1 to 65535, separated by commas")]
    Port(String),
    /// An entry of [`Ranges`].
    #[error(
        "`{0}` is not an address range: write CIDRs such as 10.0.0.0/8 or fc00::/7, separated by commas, or * alone"
    )]
    Range(String),
}

impl FromStr for Ports {
    type Err = CaptureError;

    fn from_str(list: &str) -> Result<Self, CaptureError> {
        entries(list)
            .map(|entry| match entry.parse() {
                Ok(port) if port > 0 => Ok(port),
                _ => Err(CaptureError::Port(entry.to_owned())),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for Ranges {
    type Err = CaptureError;

    fn from_str(list: &str) -> Result<Self, CaptureError> {
        if list.trim() == "*" {
            return Ok(Self::All);
        }
        entries(list)
            .map(|entry| {
                let single = || entry.parse::<IpAddr>().ok().map(IpNet::from);
                let range = entry.parse::<IpNet>().ok().or_else(single);
                range
                    .map(|range| range.trunc())
                    .ok_or_else(|| CaptureError::Range(entry.to_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self::Only)
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_from_1_to_65535() {
        let check = |list: &str, expected: Result<&[u16], &str>| {
            let expected = expected
                .map(|ports| Ports(ports.iter().copied().collect()))
                .map_err(|entry| CaptureError::Port(entry.to_owned()));
            assert_eq!(list.parse(), expected, "{list}");
        };
        check("", Ok(&[]));
        check(" 443, 80 ,,443", Ok(&[80, 443]));
        check("65535", Ok(&[65535]));
        check("0", Err("0"));
        check("80,65536", Err("65536"));
        check("80-90", Err("80-90"));
        check("80 -j ACCEPT", Err("80 -j ACCEPT"));
        check("80\n-A OUTPUT -j ACCEPT", Err("80\n-A OUTPUT -j ACCEPT"));
        check("*", Err("*"));
    }

    #[test]
    fn ranges_are_cidrs_or_a_star_alone() {
        let check = |list: &str, expected: Result<&[&str], &str>| {
            let expected = expected
                .map(|nets| Ranges::Only(nets.iter().map(|net| net.parse().unwrap()).collect()))
                .map_err(|entry| CaptureError::Range(entry.to_owned()));
            assert_eq!(list.parse(), expected, "{list}");
        };
        assert_eq!(" * ".parse(), Ok(Ranges::All));
        check("", Ok(&[]));
        check("10.1.2.3/8, fc00::1/7", Ok(&["10.0.0.0/8", "fc00::/7"]));
        check("10.1.2.3,::1", Ok(&["10.1.2.3/32", "::1/128"]));
        check("10.0.0.0/33", Err("10.0.0.0/33"));
        check("*,10.0.0.0/8", Err("*"));
        check("10.0.0.0/8 -j ACCEPT", Err("10.0.0.0/8 -j ACCEPT"));
    }
}
