//! What the names of endpoints stand for, as DNS last said, for ServiceEntries with resolution DNS and ExternalName services.
//! Before: `resolver` asks. After: the endpoints of `tables`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Notify;

/// Names with their addresses; empty for those that have never been resolved.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    addresses: HashMap<String, Vec<IpAddr>>,
    changed: Arc<Notify>,
}

impl Resolved {
    /// Whether there has been an answer, or that there is none.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.addresses.contains_key(name)
    }

    pub(super) fn addresses(&self, name: &str) -> &[IpAddr] {
        self.addresses.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether this is something new. An answer is never given up for none.
    pub(super) fn set(&mut self, name: &str, addresses: Option<Vec<IpAddr>>) -> bool {
        match (self.addresses.get_mut(name), addresses) {
            (None, addresses) => {
                let addresses = addresses.map(preferred).unwrap_or_default();
                self.addresses.insert(name.to_owned(), addresses);
                true
            }
            (Some(_), None) => false,
            (Some(old), Some(new)) => {
                let new = preferred(new);
                let differs = *old != new && !new.is_empty();
                if differs {
                    *old = new;
                }
                differs
            }
        }
    }

    /// Forgets what is asked for no more.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.addresses.retain(|name, _| wanted(name));
    }

    /// There may be names to resolve.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    pub(super) fn changes(&self) -> Arc<Notify> {
        self.changed.clone()
    }
}

/// IPv4 addresses if there are any: whether IPv6 leads out of the cluster is not known here, and a pod that has only IPv6
/// gets such addresses by DNS64. In order, so that the same answer is the same.
fn preferred(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    if addresses.iter().any(IpAddr::is_ipv4) {
        addresses.retain(IpAddr::is_ipv4);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
