//! What the webhook counts, under Istio's names for the same things, so that its dashboards work.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters by outcome and reason, and how long answers took. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Counter,
    success: Family<Reason, Counter>,
    skip: Family<Reason, Counter>,
    failure: Family<Reason, Counter>,
    time: Histogram,
    valid: Family<Resource, Counter>,
    invalid: Family<Resource, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Resource {
    resource: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            success: Family::default(),
            skip: Family::default(),
            failure: Family::default(),
            valid: Family::default(),
            invalid: Family::default(),
            // 50 µs, for a pod that is left alone, to 6.5 s, for one whose namespace was long in coming.
            time: Histogram::new(exponential_buckets(0.000_05, 2.0, 18)),
        }
    }
}

impl Metrics {
    /// Puts the metrics into the registry that `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, family: &Family<Reason, Counter>| {
            registry.register(name, help, family.clone());
        };
        counter(
            "sidecar_injection_success",
            "Pods that got a sidecar, by the rule that decided",
            &self.success,
        );
        counter(
            "sidecar_injection_skip",
            "Pods that were left alone, by the rule that decided",
            &self.skip,
        );
        counter(
            "sidecar_injection_failure",
            "Requests that were refused, by what was wrong",
            &self.failure,
        );
        registry.register(
            "galley_validation_passed",
            "Rules that were written, by kind",
            self.valid.clone(),
        );
        registry.register(
            "galley_validation_failed",
            "Rules that were refused, by kind",
            self.invalid.clone(),
        );
        let requests = self.requests.clone();
        registry.register("sidecar_injection_requests", "Requests for injection", requests);
        let time = self.time.clone();
        registry.register(
            "sidecar_injection_time_seconds",
            "Time to answer a request, in seconds",
            time,
        );
    }

    pub(super) fn requested(&self) {
        self.requests.inc();
    }

    pub(super) fn injected(&self, reason: &'static str) {
        self.success.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn skipped(&self, reason: &'static str) {
        self.skip.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.failure.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn validated(&self, kind: &str, passed: bool) {
        let family = if passed { &self.valid } else { &self.invalid };
        let resource = kind.to_owned();
        family.get_or_create(&Resource { resource }).inc();
    }

    pub(super) fn took(&self, time: Duration) {
        self.time.observe(time.as_secs_f64());
    }

    #[cfg(test)]
    pub(super) fn failures(&self, reason: &'static str) -> u64 {
        self.failure.get_or_create(&Reason { reason }).get()
    }
}
