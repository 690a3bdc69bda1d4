//! Which address families the pod has: which rules it needs, and which of them can be verified. Before `rules` and
//! `verify`.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use anyhow::Context as _;

use super::rules::Family;

const V4: &str = "/proc/net/fib_trie";
const V6: &str = "/proc/net/if_inet6";

/// Scopes as the kernel prints them in hexadecimal, `IPV6_ADDR_LOOPBACK` and `IPV6_ADDR_LINKLOCAL`: no Service or pod
/// is reached over these.
const LOCAL_SCOPES: [&str; 2] = ["10", "20"];

/// Whether this network namespace has an address of the family that others can reach.
pub(super) async fn any(family: Family) -> anyhow::Result<bool> {
    let (file, reachable): (_, fn(&str) -> bool) = match family {
        Family::V4 => (V4, any_v4),
        Family::V6 => (V6, any_v6),
    };
    match tokio::fs::read_to_string(file).await {
        Ok(addresses) => Ok(reachable(&addresses)),
        // The kernel is built or booted without IPv6. There is none without IPv4.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(family == Family::V4),
        Err(error) => {
            Err(error).with_context(|| format!("reading {file} to see whether the pod has {family}"))
        }
    }
}

/// A local address is a line `|-- address` with a line `/32 host LOCAL` after it.
fn any_v4(routes: &str) -> bool {
    let mut address = None;
    routes.lines().any(|line| {
        if let Some((_, found)) = line.split_once("|-- ") {
            address = found.trim().parse::<Ipv4Addr>().ok();
        }
        line.trim() == "/32 host LOCAL"
            && address.is_some_and(|address| !address.is_loopback() && !address.is_link_local())
    })
}

/// Lines are `address index prefix-length scope flags name`.
fn any_v6(addresses: &str) -> bool {
    addresses
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3))
        .any(|scope| !LOCAL_SCOPES.contains(&scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reachable_ipv4_address_counts() {
        let check = |routes: &[&str], expected| {
            assert_eq!(any_v4(&routes.concat()), expected, "{routes:?}");
        };
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n";
        let loopback = "        |-- 127.0.0.1\n           /32 host LOCAL\n";
        let link_local = "        |-- 169.254.1.1\n           /32 host LOCAL\n";
        let gateway = "        |-- 10.1.0.1\n           /32 link UNICAST\n";
        let own = "        |-- 10.1.0.9\n           /32 host LOCAL\n        |-- 10.1.255.255\n           /32 link BROADCAST\n";
        check(&[], false);
        check(&[table, loopback, link_local, gateway], false);
        check(&[table, loopback, own], true);
    }

    #[test]
    fn only_a_reachable_ipv6_address_counts() {
        let loopback = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let link_local = "fe80000000000000c8a3d5fffe2b1a00 02 40 20 80     eth0\n";
        let unique_local = "fd000010024400000000000000000005 02 40 00 80     eth0\n";
        let check = |addresses: &[&str], expected| {
            assert_eq!(any_v6(&addresses.concat()), expected, "{addresses:?}");
        };
        check(&[], false);
        check(&[loopback], false);
        check(&[loopback, link_local], false);
        check(&[loopback, unique_local, link_local], true);
    }
}
