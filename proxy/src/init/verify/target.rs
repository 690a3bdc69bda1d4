//! Where a connection goes that the rules redirect, and that is surely outside of the pod. Pure; used by `verify`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::init::args::InitArgs;
use crate::init::capture::Ranges;
use crate::init::rules::Family;

/// Discard (RFC 863): should the connection get out, nobody minds it.
const DISCARD: u16 = 9;

/// An address and port of the family that `args` redirect when they go out of the pod; nothing if there is none.
pub(super) fn of(args: &InitArgs, family: Family) -> Option<SocketAddr> {
    let excluded = &args.exclude_outbound_ports.0;
    let by_range = || {
        let address = address(args, family, &args.include_outbound_ranges)?;
        let port = (DISCARD..=u16::MAX).find(|port| !excluded.contains(port))?;
        Some(SocketAddr::new(address, port))
    };
    let by_port = || {
        let port = args.include_outbound_ports.0.difference(excluded).next()?;
        Some(SocketAddr::new(address(args, family, &Ranges::All)?, *port))
    };
    by_range().or_else(by_port)
}

/// An address in `included` that is not excluded: one for documentation (RFC 5737, RFC 3849), where nobody is, if that
/// can be.
fn address(args: &InitArgs, family: Family, included: &Ranges) -> Option<IpAddr> {
    let documentation: IpAddr = match family {
        Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let excluded = &args.exclude_outbound_ranges;
    // Whatever is left of the included ranges begins where one of them does, or where an excluded one has ended. A
    // network's first address is often not a host's: the one after it comes before it.
    let starts = ranges(included).map(|range| range.network());
    let ends = ranges(excluded).filter_map(|range| next(range.broadcast()));
    let candidates = starts
        .chain(ends)
        .flat_map(|address| [next(address), Some(address)]);
    std::iter::once(documentation)
        .chain(candidates.flatten())
        .filter(|address| documentation.is_ipv4() == address.is_ipv4() && is_outside(*address))
        .find(|address| contains(included, address) && !contains(excluded, address))
}

fn ranges(ranges: &Ranges) -> impl Iterator<Item = &IpNet> {
    match ranges {
        Ranges::All => None,
        Ranges::Only(ranges) => Some(ranges.iter()),
    }
    .into_iter()
    .flatten()
}

fn contains(included: &Ranges, address: &IpAddr) -> bool {
    *included == Ranges::All || ranges(included).any(|range| range.contains(address))
}

/// The address after this one, if it is not the last.
fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address)
            .checked_add(1)
            .map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(address) => u128::from(address)
            .checked_add(1)
            .map(|next| Ipv6Addr::from(next).into()),
    }
}

/// Whether a connection to it leaves by a network interface other than lo.
fn is_outside(address: IpAddr) -> bool {
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: impl FnOnce(&mut InitArgs), expected: [Option<&str>; 2]) {
        let mut args = InitArgs::default();
        set(&mut args);
        let found = [Family::V4, Family::V6].map(|family| of(&args, family).map(|target| target.to_string()));
        assert_eq!(
            found,
            expected.map(|target| target.map(str::to_owned)),
            "{args:?}"
        );
    }

    #[test]
    fn it_is_redirected_and_outside() {
        check(|_| {}, [Some("192.0.2.1:9"), Some("[2001:db8::1]:9")]);
        check(
            |args| args.exclude_outbound_ports = "9,10".parse().unwrap(),
            [Some("192.0.2.1:11"), Some("[2001:db8::1]:11")],
        );
        check(
            |args| args.include_outbound_ranges = "10.0.0.0/8".parse().unwrap(),
            [Some("10.0.0.1:9"), None],
        );
        check(
            |args| args.include_outbound_ranges = "192.0.0.0/8,10.1.2.3,fd00::/8".parse().unwrap(),
            [Some("192.0.2.1:9"), Some("[fd00::1]:9")],
        );
        check(
            |args| args.include_outbound_ranges = "10.1.2.3,::1".parse().unwrap(),
            [Some("10.1.2.3:9"), None],
        );
    }

    #[test]
    fn what_is_excluded_is_gone_around() {
        check(
            |args| args.exclude_outbound_ranges = "192.0.2.0/24,2001:db8::/32".parse().unwrap(),
            [Some("192.0.3.1:9"), Some("[2001:db9::1]:9")],
        );
        check(
            |args| {
                args.include_outbound_ranges = "10.0.0.0/8".parse().unwrap();
                args.exclude_outbound_ranges = "10.0.0.0/9,10.128.0.0/10".parse().unwrap();
            },
            [Some("10.192.0.1:9"), None],
        );
        check(
            |args| {
                args.include_outbound_ranges = "10.0.0.0/30".parse().unwrap();
                args.exclude_outbound_ranges = "10.0.0.0/31,10.0.0.3".parse().unwrap();
            },
            [Some("10.0.0.2:9"), None],
        );
    }

    #[test]
    fn included_ports_are_redirected_whatever_the_ranges_say() {
        check(
            |args| {
                args.include_outbound_ranges = "10.0.0.0/8".parse().unwrap();
                args.exclude_outbound_ranges = "10.0.0.0/8".parse().unwrap();
                args.include_outbound_ports = "443,80,8080".parse().unwrap();
                args.exclude_outbound_ports = "80".parse().unwrap();
            },
            [Some("192.0.2.1:443"), Some("[2001:db8::1]:443")],
        );
    }

    #[test]
    fn there_is_none_if_nothing_is_redirected() {
        check(
            |args| args.include_outbound_ranges = "".parse().unwrap(),
            [None, None],
        );
        check(
            |args| args.exclude_outbound_ranges = "*".parse().unwrap(),
            [None, None],
        );
        check(
            |args| {
                args.include_outbound_ranges = "".parse().unwrap();
                args.include_outbound_ports = "443".parse().unwrap();
                args.exclude_outbound_ports = "443".parse().unwrap();
            },
            [None, None],
        );
        check(
            |args| {
                args.include_outbound_ranges = "10.0.0.0/8,127.0.0.0/8".parse().unwrap();
                args.exclude_outbound_ranges = "10.0.0.0/9,10.128.0.0/9".parse().unwrap();
            },
            [None, None],
        );
    }
}
