//! What an event touched, so that work is only done for those whom it concerns.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Key, Kind};

/// A rule: its kind, namespace and name.
pub type RuleKey = (Kind, Key);

/// What may have a new answer; everything else has the one it had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Fully qualified names of services that may be routed in another way.
    pub hosts: BTreeSet<String>,
    /// Fully qualified names of services whose endpoints, or subsets of them, are others.
    pub endpoints: BTreeSet<String>,
    /// Addresses that may mean another service than before.
    pub addresses: BTreeSet<IpAddr>,
    /// Ranges whose addresses may mean another service than before.
    pub ranges: BTreeSet<IpNet>,
    /// Whether hosts that are known by their names alone, or addresses outside of the mesh's own ranges, came or went.
    pub named: bool,
    /// Whether what clients see of all services changed.
    pub views: bool,
    /// Pods that came, went or changed, or whose own ports are treated in another way.
    pub pods: BTreeSet<Key>,
    /// Rules that came, went or changed, and those that they delegated to before.
    pub rules: BTreeSet<RuleKey>,
    /// Whether a kind became known for the first time.
    pub listed: bool,
}

impl Change {
    /// Adds what another event touched.
    pub fn merge(&mut self, other: Self) {
        self.hosts.extend(other.hosts);
        self.endpoints.extend(other.endpoints);
        self.addresses.extend(other.addresses);
        self.ranges.extend(other.ranges);
        self.named |= other.named;
        self.views |= other.views;
        self.pods.extend(other.pods);
        self.rules.extend(other.rules);
        self.listed |= other.listed;
    }

    /// Whether nothing was touched.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
