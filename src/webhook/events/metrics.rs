//! What became of the Events: counted by outcome.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Clones share their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    events: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "outrigger_injection_events",
            "Kubernetes Events about pods that got no sidecar: written to the API server, dropped because too many waited, \
             or failed",
            self.events.clone(),
        );
    }

    pub(super) fn written(&self) {
        self.count("written");
    }

    pub(super) fn dropped(&self) {
        self.count("dropped");
    }

    pub(super) fn failed(&self) {
        self.count("failed");
    }

    fn count(&self, outcome: &'static str) {
        self.events.get_or_create(&Outcome { outcome }).inc();
    }

    #[cfg(test)]
    pub(super) fn get(&self, outcome: &'static str) -> u64 {
        self.events.get_or_create(&Outcome { outcome }).get()
    }
}
