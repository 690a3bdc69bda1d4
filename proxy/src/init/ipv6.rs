//! Whether the pod has IPv6, and so needs its rules. Before `rules`.

use std::io::ErrorKind;

use anyhow::Context as _;

const ADDRESSES: &str = "/proc/net/if_inet6";

/// Scopes as the kernel prints them in hexadecimal, `IPV6_ADDR_LOOPBACK` and `IPV6_ADDR_LINKLOCAL`: no Service or pod
/// is reached over these.
const LOCAL_SCOPES: [&str; 2] = ["10", "20"];

/// Whether this network namespace has an IPv6 address that others can reach.
pub(super) async fn has_address() -> anyhow::Result<bool> {
    match tokio::fs::read_to_string(ADDRESSES).await {
        Ok(addresses) => Ok(any_reachable(&addresses)),
        // The kernel is built or booted without IPv6.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("reading {ADDRESSES} to see whether the pod has IPv6"))
        }
    }
}

/// Lines are `address index prefix-length scope flags name`.
fn any_reachable(addresses: &str) -> bool {
    addresses
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3))
        .any(|scope| !LOCAL_SCOPES.contains(&scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reachable_address_counts() {
        let loopback = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let link_local = "fe80000000000000c8a3d5fffe2b1a00 02 40 20 80     eth0\n";
        let unique_local = "fd000010024400000000000000000005 02 40 00 80     eth0\n";
        let check = |addresses: &[&str], expected| {
            assert_eq!(any_reachable(&addresses.concat()), expected, "{addresses:?}");
        };
        check(&[], false);
        check(&[loopback], false);
        check(&[loopback, link_local], false);
        check(&[loopback, unique_local, link_local], true);
    }
}
