//! What balancing counts, for `metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::limits::Limit;
use super::outlier::Reason;

/// Shared by all clusters of a proxy; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    ejections: Family<EjectionLabels, Counter>,
    overflows: Family<OverflowLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EjectionLabels {
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OverflowLabels {
    limit: Limit,
}

impl Counts {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "endpoint_ejections",
            "Endpoints that were not used for some time after failures, by the field of outlierDetection that says so",
            self.ejections.clone(),
        );
        registry.register(
            "overflows",
            "Requests and connections refused by the limits of a connectionPool, by the field",
            self.overflows.clone(),
        );
    }

    pub(super) fn ejection(&self, reason: Reason) {
        self.ejections.get_or_create(&EjectionLabels { reason }).inc();
    }

    pub(super) fn overflow(&self, limit: Limit) {
        self.overflows.get_or_create(&OverflowLabels { limit }).inc();
    }
}
