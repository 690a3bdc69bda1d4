//! When the certificates expire, for `/metrics`, read when it is asked for. After `secret` and `issue`, which renew them long
//! before: an alert on these says that they could not.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Trust;

/// The CA is also shown under the name of Istio's metric for its root certificate, so that rules made for Istio warn of it.
/// Of the serving certificate Istio says nothing. One that is not there yet is not shown.
impl Collector for Trust {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let (ca, serving) = (self.authority_not_after(), self.serving.not_after());
        let mut family = encoder.encode_descriptor(
            "outrigger_certificate_expiry_timestamp_seconds",
            "When a certificate expires, in seconds since 1970",
            None,
            MetricType::Gauge,
        )?;
        for (certificate, not_after) in [("ca", ca), ("serving", serving)] {
            if let Some(not_after) = not_after {
                seconds(not_after).encode(family.encode_family(&[("certificate", certificate)])?)?;
            }
        }
        let Some(ca) = ca else { return Ok(()) };
        seconds(ca).encode(encoder.encode_descriptor(
            "citadel_server_root_cert_expiry_timestamp",
            "When the certificate of the CA expires, in seconds since 1970",
            None,
            MetricType::Gauge,
        )?)
    }
}

fn seconds(at: SystemTime) -> ConstGauge<u64> {
    ConstGauge::new(at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
