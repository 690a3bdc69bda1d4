//! What the endpoints of one cluster have in common: its limits.

use std::sync::Arc;

use super::limits::Limits;
use crate::protocol::mesh;

/// Belongs to a cluster, and to each of its endpoints.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
}

impl Shared {
    pub(super) fn new(policy: &mesh::TrafficPolicy) -> Self {
        let pool = policy.connection_pool.unwrap_or_default();
        Self {
            limits: Arc::new(Limits::new(&pool)),
        }
    }
}
