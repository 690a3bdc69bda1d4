//! What is counted, for Prometheus. Labels are bounded: directions, statuses, reasons; never a name
//! that a client can make up.

use std::sync::atomic::AtomicI64;

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::balance::Counts;

pub mod app;
pub(crate) mod exposition;
mod merge;
pub(crate) mod scrape;

/// Which way a connection goes, seen from the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Direction {
    /// Into the pod.
    Inbound,
    /// Out of the pod.
    Outbound,
}

/// How a connection was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Carried {
    /// Request by request.
    Http,
    /// As bytes, to an endpoint of the mesh or to the application.
    Tcp,
    /// As bytes to where the client dialled: outside of the mesh's address ranges.
    Outside,
    /// The same, since no service has this address.
    Unknown,
    /// The same, since the control plane was away and this address had not been asked for before.
    ControlPlaneAway,
    /// Not at all, or with 502: the mesh does not know it, and the pod's outboundTrafficPolicy is REGISTRY_ONLY.
    Blocked,
    /// Not at all: the proxy's own port was dialled directly.
    Loop,
    /// Not at all: it broke, or could not be carried. The log says why.
    Failed,
}

/// Why the application's metrics were missing in a scrape, or not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ScrapeFailure {
    /// No connection, or one that broke.
    Unreachable,
    /// Longer than the scraper waits.
    Timeout,
    /// Another status than 200.
    Status,
    /// Something else than metrics as text.
    NotMetrics,
    /// Too many bytes.
    TooLarge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScrapeLabels {
    reason: ScrapeFailure,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    direction: Direction,
    carried: Carried,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    direction: Direction,
    response_code: u16,
}

/// The proxy's counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    connections: Family<ConnectionLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    open: Gauge<i64, AtomicI64>,
    connected: Gauge<i64, AtomicI64>,
    refused_updates: Counter,
    app_scrape_failures: Family<ScrapeLabels, Counter>,
    app_samples_dropped: Counter,
    mirrors_failed: Counter,
    interims_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("outrigger");
        let metrics = Self {
            connections: Family::default(),
            requests: Family::default(),
            open: Gauge::default(),
            connected: Gauge::default(),
            refused_updates: Counter::default(),
            app_scrape_failures: Family::default(),
            app_samples_dropped: Counter::default(),
            mirrors_failed: Counter::default(),
            interims_dropped: Counter::default(),
            registry: Registry::default(),
        };
        registry.register(
            "connections",
            "Connections, by how they were carried",
            metrics.connections.clone(),
        );
        registry.register(
            "requests",
            "HTTP requests, by the status they were answered with",
            metrics.requests.clone(),
        );
        registry.register("open_connections", "Connections open now", metrics.open.clone());
        registry.register(
            "discovery_connected",
            "1 while the control plane is connected",
            metrics.connected.clone(),
        );
        registry.register(
            "discovery_refused",
            "Updates that could not be used",
            metrics.refused_updates.clone(),
        );
        registry.register(
            "app_scrape_failures",
            "Scrapes in which the application's metrics were missing or not complete, by the reason",
            metrics.app_scrape_failures.clone(),
        );
        registry.register(
            "app_samples_dropped",
            "Samples of the application left out since they bear a name of the proxy's",
            metrics.app_samples_dropped.clone(),
        );
        registry.register(
            "mirrors_failed",
            "Copies of requests that a mirror did not get or did not answer",
            metrics.mirrors_failed.clone(),
        );
        registry.register(
            "interim_responses_dropped",
            "Interim responses (1xx) that a client did not get",
            metrics.interims_dropped.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// With what balancing counts.
    pub(crate) fn with(counts: &Counts) -> Self {
        let mut metrics = Self::default();
        // The registry has the prefix of all names.
        counts.register(&mut metrics.registry);
        metrics
    }

    pub(crate) fn connection(&self, direction: Direction, carried: Carried) {
        self.connections
            .get_or_create(&ConnectionLabels { direction, carried })
            .inc();
    }

    pub(crate) fn request(&self, direction: Direction, status: StatusCode) {
        self.requests
            .get_or_create(&RequestLabels {
                direction,
                response_code: status.as_u16(),
            })
            .inc();
    }

    pub(crate) fn connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    pub(crate) fn refused_update(&self) {
        self.refused_updates.inc();
    }

    pub(crate) fn app_scrape_failed(&self, reason: ScrapeFailure) {
        self.app_scrape_failures
            .get_or_create(&ScrapeLabels { reason })
            .inc();
    }

    pub(crate) fn dropped_app_samples(&self, samples: u64) {
        self.app_samples_dropped.inc_by(samples);
    }

    pub(crate) fn mirror_failed(&self) {
        self.mirrors_failed.inc();
    }

    pub(crate) fn interims_dropped(&self, responses: u64) {
        self.interims_dropped.inc_by(responses);
    }

    /// All of it in OpenMetrics; `open` is the number of connections open now.
    pub(crate) fn text(&self, open: usize) -> String {
        self.open.set(i64::try_from(open).unwrap_or(i64::MAX));
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}
