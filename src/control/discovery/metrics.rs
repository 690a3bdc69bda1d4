//! What discovery counts, under the names that istiod gives the same things, if it does, so that dashboards find them.

use std::sync::atomic::AtomicI64;

use outrigger_proxy::protocol::{ENDPOINTS, SERVICE, WORKLOAD};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    connected: Gauge<i64, AtomicI64>,
    pushes: Family<Labels, Counter>,
    resources: Family<Labels, Counter>,
    compiled: Family<Labels, Counter>,
    rejects: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    r#type: Type,
}

/// Proxies can ask for any type, so the label is not what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the label's values")]
enum Type {
    workload,
    service,
    endpoints,
    other,
}

impl Metrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            connected: Gauge::default(),
            pushes: Family::default(),
            resources: Family::default(),
            compiled: Family::default(),
            rejects: Family::default(),
        };
        registry.register(
            "pilot_xds",
            "Proxies that are connected",
            metrics.connected.clone(),
        );
        registry.register(
            "pilot_xds_pushes",
            "Responses that were sent",
            metrics.pushes.clone(),
        );
        registry.register(
            "outrigger_discovery_resources",
            "Resources in responses, and names of which was said that there is nothing",
            metrics.resources.clone(),
        );
        registry.register(
            "outrigger_discovery_compiled",
            "Resources that were compiled, each for all proxies that get the same",
            metrics.compiled.clone(),
        );
        registry.register(
            "pilot_total_xds_rejects",
            "Responses that proxies refused",
            metrics.rejects.clone(),
        );
        metrics
    }

    /// Counts a proxy as connected until the value is dropped.
    pub(super) fn connected(&self) -> Connected {
        self.connected.inc();
        Connected(self.connected.clone())
    }

    /// A response with so many resources.
    pub(super) fn push(&self, type_url: &str, resources: usize) {
        let labels = labels(type_url);
        self.pushes.get_or_create(&labels).inc();
        self.resources.get_or_create(&labels).inc_by(resources as u64);
    }

    /// A resource that was made anew.
    pub(super) fn compiled(&self, type_url: &str) {
        self.compiled.get_or_create(&labels(type_url)).inc();
    }

    pub(super) fn reject(&self, type_url: &str) {
        self.rejects.get_or_create(&labels(type_url)).inc();
    }
}

fn labels(type_url: &str) -> Labels {
    let r#type = match type_url {
        WORKLOAD => Type::workload,
        SERVICE => Type::service,
        ENDPOINTS => Type::endpoints,
        _ => Type::other,
    };
    Labels { r#type }
}

pub(super) struct Connected(Gauge<i64, AtomicI64>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
