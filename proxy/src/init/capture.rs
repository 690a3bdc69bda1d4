//! Which connections are redirected: parsed into ports, CIDRs and interfaces here, so that no text from outside gets
//! further. Comes from [`InitArgs`](super::InitArgs), goes to `rules`.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Bytes of an interface's name: Linux' IFNAMSIZ of 16 without the NUL at the end.
const INTERFACE_NAME: usize = 15;

/// A comma-separated list of ports, 1 to 65535, as in `traffic.sidecar.istio.io/excludeOutboundPorts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports(pub BTreeSet<u16>);

/// A comma-separated list of ports, or `*` for every port, as in `traffic.sidecar.istio.io/includeInboundPorts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundPorts {
    /// Every port: `*`.
    All,
    /// These.
    Only(Ports),
}

/// A comma-separated list of CIDRs of either family, or `*` for every address, as in
/// `traffic.sidecar.istio.io/includeOutboundIPRanges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Every address: `*`.
    All,
    /// These; host bits are cleared.
    Only(BTreeSet<IpNet>),
}

impl Ranges {
    /// No address.
    pub fn none() -> Self {
        Self::Only(BTreeSet::new())
    }
}

/// A comma-separated list of names of network interfaces, as in `traffic.sidecar.istio.io/excludeInterfaces`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces(BTreeSet<String>);

impl Interfaces {
    /// The names, each of which iptables takes as it is.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// An entry of a list that is not what the list holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// An entry of [`Ports`].
    #[error("`{0}` is not a port: write whole numbers from 1 to 65535, separated by commas")]
    Port(String),
    /// An entry of [`InboundPorts`].
    #[error("`{0}` is not a port: write whole numbers from 1 to 65535, separated by commas, or * alone")]
    InboundPort(String),
    /// An entry of [`Ranges`].
    #[error(
        "`{0}` is not an address range: write CIDRs such as 10.0.0.0/8 or fc00::/7, separated by commas, or * alone"
    )]
    Range(String),
    /// An entry of [`Interfaces`].
    #[error(
        "`{0}` is not the name of a network interface: write names of up to 15 letters, digits and any of `_-.`, such as \
         net1, separated by commas; iptables' wildcard + is not supported"
    )]
    Interface(String),
}

impl FromStr for Ports {
    type Err = CaptureError;

    fn from_str(list: &str) -> Result<Self, CaptureError> {
        entries(list)
            .map(|entry| port(entry).ok_or_else(|| CaptureError::Port(entry.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for InboundPorts {
    type Err = CaptureError;

    fn from_str(list: &str) -> Result<Self, CaptureError> {
        if list.trim() == "*" {
            return Ok(Self::All);
        }
        entries(list)
            .map(|entry| port(entry).ok_or_else(|| CaptureError::InboundPort(entry.to_owned())))
            .collect::<Result<_, _>>()
            .map(|ports| Self::Only(Ports(ports)))
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

impl FromStr for Interfaces {
    type Err = CaptureError;

    /// Stricter than Linux, which takes any byte but `/`, `:` and white space: nothing here is an option, a negation,
    /// a quotation or a wildcard (a `+` at the end) to iptables.
    fn from_str(list: &str) -> Result<Self, CaptureError> {
        let is_name = |entry: &str| {
            entry.len() <= INTERFACE_NAME
                && !entry.starts_with(['-', '.'])
                && entry
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        entries(list)
            .map(|entry| {
                if is_name(entry) {
                    Ok(entry.to_owned())
                } else {
                    Err(CaptureError::Interface(entry.to_owned()))
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, &self.0)
    }
}

impl Display for InboundPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Only(ports) => ports.fmt(f),
        }
    }
}

impl Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Only(ranges) => joined(f, ranges),
        }
    }
}

impl Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, &self.0)
    }
}

fn joined<T: Display>(f: &mut fmt::Formatter<'_>, entries: &BTreeSet<T>) -> fmt::Result {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        entry.fmt(f)?;
    }
    Ok(())
}

fn port(entry: &str) -> Option<u16> {
    entry.parse().ok().filter(|port| *port > 0)
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
    fn inbound_ports_may_be_a_star_alone() {
        let check = |list: &str, expected| assert_eq!(list.parse(), expected, "{list}");
        check(" * ", Ok(InboundPorts::All));
        check("", Ok(InboundPorts::Only(Ports::default())));
        check("80, 443", Ok(InboundPorts::Only(Ports([80, 443].into()))));
        check("80,*", Err(CaptureError::InboundPort("*".to_owned())));
    }

    #[test]
    fn interfaces_are_names_that_iptables_takes_as_they_are() {
        let check = |list: &str, expected: Result<&[&str], &str>| {
            let found: Result<Interfaces, _> = list.parse();
            assert_eq!(
                found
                    .as_ref()
                    .map(|found| found.names().collect::<Vec<_>>())
                    .map_err(ToString::to_string),
                expected
                    .map(<[_]>::to_vec)
                    .map_err(|entry| CaptureError::Interface(entry.to_owned()).to_string()),
                "{list}"
            );
        };
        check("", Ok(&[]));
        check(" net1, eth0.100 ,,br-0_a", Ok(&["br-0_a", "eth0.100", "net1"]));
        check("123456789012345", Ok(&["123456789012345"]));
        for bad in [
            "1234567890123456",
            "net+",
            "!",
            "!net1",
            "-j",
            "..",
            "net1 -j ACCEPT",
            "net1\n-A OUTPUT -j ACCEPT",
            "net\"1",
            "a/b",
            "a:b",
            "n\u{e9}t",
        ] {
            check(bad, Err(bad));
        }
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
