//! The application's own metrics: where they are.

use std::num::NonZeroU16;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Where the application's metrics are, as its `prometheus.io/*` annotations had it before the injector pointed them
/// at the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AppMetrics {
    /// On the pod itself.
    pub port: NonZeroU16,
    /// Path with query; Prometheus' default is `/metrics`.
    #[serde(default = "metrics_path")]
    pub path: String,
    /// In which protocol.
    #[serde(default)]
    pub scheme: crate::probe::Scheme,
}

impl AppMetrics {
    /// Reads JSON; `own_port` is the port at which the proxy is scraped.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(json: &str, own_port: u16) -> anyhow::Result<Self> {
        let metrics: Self = serde_json::from_str(json)
            .context("not JSON such as {\"port\": 8080, \"path\": \"/metrics\", \"scheme\": \"http\"}")?;
        ensure!(
            metrics.port.get() != own_port,
            "port {own_port} is the proxy's own, which would scrape itself for ever"
        );
        Ok(metrics)
    }
}

fn metrics_path() -> String {
    "/metrics".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Scheme;

    #[test]
    fn read() {
        let metrics = AppMetrics::parse(r#"{"port": 8080}"#, 15020).unwrap();
        assert_eq!(
            metrics,
            AppMetrics {
                port: NonZeroU16::new(8080).unwrap(),
                path: "/metrics".into(),
                scheme: Scheme::Http,
            }
        );
        let metrics = AppMetrics::parse(r#"{"port": 1, "path": "/m?a", "scheme": "https"}"#, 15020).unwrap();
        assert_eq!((metrics.path.as_str(), metrics.scheme), ("/m?a", Scheme::Https));
        for (json, word) in [("{}", "port"), ("8080", "JSON"), (r#"{"port": 15020}"#, "own")] {
            let error = format!("{:#}", AppMetrics::parse(json, 15020).unwrap_err());
            assert!(error.contains(word), "{json}: {error}");
        }
    }
}
