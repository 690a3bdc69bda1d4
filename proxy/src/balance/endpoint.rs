//! One pod's port as one cluster sees it: its connections, what is under way on it, and how it has done.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::outlier::{Outcome, Record};
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
    /// When it came; `None` for those that were there when the cluster was made.
    pub(super) since: Option<Instant>,
    pub(super) record: Record,
    in_flight: AtomicUsize,
}

/// Counts a request or connection on its endpoint for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl Endpoint {
    /// An endpoint without connections, that no rule has a say about.
    pub fn new(address: SocketAddr) -> Arc<Self> {
        Self::within(address, Arc::default(), None)
    }

    /// An endpoint of a cluster.
    pub(super) fn within(address: SocketAddr, shared: Arc<Shared>, since: Option<Instant>) -> Arc<Self> {
        Arc::new(Self {
            address,
            pool: Pool::default(),
            shared,
            since,
            record: Record::default(),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Counts a request or connection until the returned value is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Takes in what came of a request or connection: too many failures one after another eject the endpoint for some
    /// time, if a rule says so. `pool` says what it sees; a try that a route gives up is the caller's to say.
    pub fn report(&self, outcome: Outcome) {
        self.shared.observe(self, outcome);
    }

    /// Whether anybody takes in what is reported of responses.
    pub(crate) fn is_watched(&self) -> bool {
        self.shared.is_watching()
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self) {
        self.pool.sweep(&self.shared.connect);
    }

    /// Whether it is ejected for its failures.
    pub fn is_ejected(&self) -> bool {
        self.record.is_out()
    }

    /// Requests and connections on it now.
    pub fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl InFlight {
    /// Where.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
