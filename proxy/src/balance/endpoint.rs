//! One pod's port as one cluster sees it: its connections, what is under way on it, and how it has done.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::shared::Shared;
use crate::pool::Pool;
use crate::protocol::mesh;

/// What the control plane says of an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Where it listens.
    pub address: SocketAddr,
    /// Relative to the others', at least 1.
    pub weight: u32,
    /// Where it runs.
    pub locality: mesh::Locality,
    /// The labels that a failover priority may name.
    pub labels: BTreeMap<String, String>,
    /// The node it runs on; empty if it is not known.
    pub node: String,
    /// Whether it is about to end: used only if all are.
    pub terminating: bool,
}

impl Described {
    /// An endpoint of which only the address is known.
    pub fn at(address: SocketAddr) -> Self {
        Self::new(mesh::Endpoint::default(), address)
    }

    /// What was published, at the address that its name stands for.
    pub fn new(published: mesh::Endpoint, address: SocketAddr) -> Self {
        Self {
            address,
            weight: published.weight.max(1),
            locality: published.locality.unwrap_or_default(),
            labels: published.labels.into_iter().collect(),
            node: published.node,
            terminating: published.terminating,
        }
    }
}

/// One pod's port.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections to it that can be used again.
    pub pool: Pool,
    pub(crate) shared: Arc<Shared>,
    in_flight: AtomicUsize,
}

/// Counts a request or connection on its endpoint for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl Endpoint {
    /// An endpoint without connections, that no rule has a say about.
    pub fn new(address: SocketAddr) -> Arc<Self> {
        Self::within(address, Arc::default())
    }

    /// An endpoint of a cluster.
    pub(super) fn within(address: SocketAddr, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            address,
            pool: Pool::default(),
            shared,
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Counts a request or connection until the returned value is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Requests and connections on it now.
    pub fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
