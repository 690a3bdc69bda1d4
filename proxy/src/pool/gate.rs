//! How many connections an endpoint has, and who waits for one. Belongs to `pool`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::balance::{Limit, Permit, Shared};

/// Of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicUsize,
    /// Something may have become free.
    pub(super) freed: Notify,
}

/// Room for one connection, for as long as it may be used.
#[derive(Debug)]
pub(super) struct Slot {
    gate: Arc<Gate>,
    permit: Option<Permit>,
}

impl Gate {
    /// Room for one more, unless the cluster has as many as it may. An endpoint may always have one: what waits for it
    /// would otherwise wait for ever.
    pub(super) fn room(self: &Arc<Self>, shared: &Shared) -> Option<Slot> {
        let permit = match shared.limits.take(Limit::Connections) {
            Ok(permit) => permit,
            Err(_) if self.open.load(Ordering::Relaxed) == 0 => shared.limits.force(Limit::Connections),
            Err(_) => return None,
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Slot {
            gate: self.clone(),
            permit: Some(permit),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.gate.open.fetch_sub(1, Ordering::Relaxed);
        self.gate.freed.notify_one();
    }
}
