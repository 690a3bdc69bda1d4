//! A new endpoint gets its share little by little: Istio's warmup, Envoy's slow start.

use std::time::Duration;

use crate::protocol::mesh;

#[derive(Debug, Clone, Copy)]
pub(super) struct Warmup {
    pub(super) window: Duration,
    minimum: f64,
    aggression: f64,
}

impl Warmup {
    /// `None` if endpoints get their full share at once.
    pub(super) fn new(policy: &mesh::TrafficPolicy) -> Option<Self> {
        let aggression = policy.warmup_aggression;
        (policy.warmup_seconds > 0).then_some(Self {
            window: Duration::from_secs(policy.warmup_seconds.into()),
            minimum: f64::from(policy.warmup_minimum_percent) / 100.0,
            aggression: if aggression > 0.0 { aggression } else { 1.0 },
        })
    }

    /// The part of its share that an endpoint of this age gets, up to 1.
    pub(super) fn factor(&self, age: Duration) -> f64 {
        let grown = libm::pow(
            age.as_secs_f64() / self.window.as_secs_f64(),
            1.0 / self.aggression,
        );
        grown.max(self.minimum).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow() {
        for (minimum, aggression, age, expected) in [
            (10, 1.0, 0, 0.1),
            (10, 1.0, 30, 0.5),
            (10, 0.0, 30, 0.5),
            (0, 1.0, 0, 0.0),
            (10, 1.0, 60, 1.0),
            (10, 1.0, 600, 1.0),
            (10, 2.0, 15, 0.5),
        ] {
            let warmup = Warmup::new(&mesh::TrafficPolicy {
                warmup_seconds: 60,
                warmup_minimum_percent: minimum,
                warmup_aggression: aggression,
                ..Default::default()
            });
            let factor = warmup.unwrap().factor(Duration::from_secs(age));
            assert!(
                (factor - expected).abs() < 1e-9,
                "{minimum} {aggression} {age}: {factor}"
            );
        }
        assert!(Warmup::new(&mesh::TrafficPolicy::default()).is_none());
    }
}
