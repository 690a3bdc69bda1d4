//! What the endpoints of one cluster have in common: its limits, and who watches over their failures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::counts::Counts;
use super::endpoint::Endpoint;
use super::limits::{Limit, Limits, Overflow, Permit};
use super::outlier::{Detector, Outcome};
use crate::pool::Settings;
use crate::protocol::mesh;

/// Belongs to a cluster, and to each of its endpoints.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    name: String,
    pub(crate) limits: Arc<Limits>,
    pub(crate) connect: Settings,
    outlier: Option<Detector>,
    /// An endpoint was ejected since the last choice was made.
    pub(super) stale: AtomicBool,
    counts: Counts,
}

impl Shared {
    pub(super) fn new(name: String, policy: &mesh::TrafficPolicy, counts: Counts) -> Self {
        let connections = policy.connection_pool.unwrap_or_default();
        Self {
            name,
            limits: Arc::new(Limits::new(&connections)),
            connect: Settings::new(policy),
            outlier: policy.outlier_detection.map(Detector::new),
            stale: AtomicBool::new(false),
            counts,
        }
    }

    /// One more of what is limited.
    ///
    /// # Errors
    /// See [`Overflow`]; it is counted.
    pub(crate) fn take(&self, limit: Limit) -> Result<Permit, Overflow> {
        self.limits
            .take(limit)
            .inspect_err(|overflow| self.counts.overflow(overflow.limit))
    }

    pub(super) fn is_watching(&self) -> bool {
        self.outlier.is_some()
    }

    pub(super) fn observe(&self, endpoint: &Endpoint, outcome: Outcome) {
        let Some(detector) = &self.outlier else {
            return;
        };
        if let Some(reason) = detector.observe(&endpoint.record, outcome, Instant::now()) {
            tracing::info!(cluster = self.name, address = %endpoint.address, ?reason, "endpoint ejected");
            self.counts.ejection(reason);
            self.stale.store(true, Ordering::Release);
        }
    }

    /// Lets endpoints come back whose time is over; gives when the next may.
    pub(super) fn recover(&self, all: &[Arc<Endpoint>], now: Instant) -> Option<Instant> {
        let detector = self.outlier.as_ref()?;
        let was_out: Vec<SocketAddr> = all
            .iter()
            .filter(|endpoint| endpoint.is_ejected())
            .map(|endpoint| endpoint.address)
            .collect();
        let next = detector.recover(all.iter().map(|endpoint| &endpoint.record), now);
        for endpoint in all {
            if !endpoint.is_ejected() && was_out.contains(&endpoint.address) {
                tracing::info!(cluster = self.name, address = %endpoint.address, "endpoint is used again");
            }
        }
        next
    }

    /// Whether so many are ejected that all are used.
    pub(super) fn gives_up(&self, healthy: usize, total: usize) -> bool {
        self.outlier
            .as_ref()
            .is_some_and(|detector| detector.gives_up(healthy, total))
    }
}
