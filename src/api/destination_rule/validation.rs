//! What a DestinationRule cannot mean, and what means less than it seems to: all that can be said of one object alone.
//! The rules are those of Istio's own validation. Before: `spec` has read it. After: `control::world` keeps the findings.

mod connection_pool;
mod load_balancer;
mod tls;

pub(crate) use load_balancer::is_table_size;

use std::collections::BTreeSet;

use super::{
    ClientTlsSettings, ConnectionPoolSettings, DestinationRuleSpec, LabelSelector, LoadBalancerSettings,
    OutlierDetection, TrafficPolicy,
};
use crate::api::{Findings, names, parse_duration};

impl DestinationRuleSpec {
    /// Notes what is wrong.
    pub fn validate(&self, found: &mut Findings) {
        if self.host.parse::<std::net::IpAddr>().is_err() {
            found.check("spec.host", names::host(&self.host));
        }
        for (index, wrong) in names::export_to(&self.export_to) {
            found.error(format!("spec.exportTo[{index}]"), wrong);
        }
        if let Some(selector) = &self.workload_selector {
            self.validate_selector(selector, found);
        }
        if let Some(policy) = &self.traffic_policy {
            validate_policy("spec.trafficPolicy", policy, found);
        }
        let mut seen = BTreeSet::new();
        for (index, subset) in self.subsets.iter().enumerate() {
            let field = format!("spec.subsets[{index}]");
            found.check(format!("{field}.name"), names::dns_label(&subset.name));
            if !seen.insert(&subset.name) {
                found.warning(
                    format!("{field}.name"),
                    format!("{} is there already; the first one is used", subset.name),
                );
            }
            for (name, value) in &subset.labels {
                found.check(format!("{field}.labels.{name}"), names::label(name, value));
            }
            if let Some(policy) = &subset.traffic_policy {
                validate_policy(&format!("{field}.trafficPolicy"), policy, found);
            }
        }
    }

    fn validate_selector(&self, selector: &LabelSelector, found: &mut Findings) {
        for (name, value) in &selector.match_labels {
            let field = format!("spec.workloadSelector.matchLabels.{name}");
            found.check(field, names::label(name, value));
        }
        if self.export_to.iter().any(|to| to != ".") {
            found.warning(
                "spec.exportTo",
                "with a workloadSelector the rule is for pods of its own namespace alone",
            );
        }
    }
}

/// The parts that a policy and that of a port have in common.
struct Parts<'a> {
    load_balancer: Option<&'a LoadBalancerSettings>,
    connection_pool: Option<&'a ConnectionPoolSettings>,
    outlier_detection: Option<&'a OutlierDetection>,
    tls: Option<&'a ClientTlsSettings>,
}

fn validate_policy(field: &str, policy: &TrafficPolicy, found: &mut Findings) {
    let parts = Parts {
        load_balancer: policy.load_balancer.as_ref(),
        connection_pool: policy.connection_pool.as_ref(),
        outlier_detection: policy.outlier_detection.as_ref(),
        tls: policy.tls.as_ref(),
    };
    let is_misspelt = found.unknown.keys().any(|path| path.starts_with(field));
    if *policy == TrafficPolicy::default() && !is_misspelt {
        found.error(field, "needs at least one field");
    }
    parts.validate(field, found);
    for (name, set) in [
        ("tunnel", policy.tunnel.is_some()),
        ("proxyProtocol", policy.proxy_protocol.is_some()),
    ] {
        if set {
            found.error(format!("{field}.{name}"), "is not supported");
        }
    }
    if let Some(budget) = &policy.retry_budget
        && budget
            .percent
            .is_some_and(|percent| !(0.0..=100.0).contains(&percent))
    {
        found.error(format!("{field}.retryBudget.percent"), "is not between 0 and 100");
    }
    for (index, port) in policy.port_level_settings.iter().enumerate() {
        let field = format!("{field}.portLevelSettings[{index}]");
        match &port.port {
            None => found.error(format!("{field}.port"), "is needed"),
            Some(port) if port.number == 0 => {
                found.error(format!("{field}.port.number"), "0 is not a port; 1 to 65535 are");
            }
            Some(_) => {}
        }
        let parts = Parts {
            load_balancer: port.load_balancer.as_ref(),
            connection_pool: port.connection_pool.as_ref(),
            outlier_detection: port.outlier_detection.as_ref(),
            tls: port.tls.as_ref(),
        };
        parts.validate(&field, found);
    }
}

impl Parts<'_> {
    fn validate(&self, field: &str, found: &mut Findings) {
        if let Some(settings) = self.load_balancer {
            let detects = self.outlier_detection.is_some();
            load_balancer::validate(&format!("{field}.loadBalancer"), settings, detects, found);
        }
        if let Some(settings) = self.connection_pool {
            connection_pool::validate(&format!("{field}.connectionPool"), settings, found);
        }
        if let Some(detection) = self.outlier_detection {
            connection_pool::validate_detection(&format!("{field}.outlierDetection"), detection, found);
        }
        if let Some(settings) = self.tls {
            tls::validate(&format!("{field}.tls"), settings, found);
        }
    }
}

fn duration(field: &str, name: &str, text: Option<&String>, found: &mut Findings) {
    if let Some(text) = text {
        found.check(format!("{field}.{name}"), parse_duration(text));
    }
}

fn percent(field: &str, name: &str, percent: Option<u32>, found: &mut Findings) {
    if let Some(percent) = percent.filter(|percent| *percent > 100) {
        found.error(
            format!("{field}.{name}"),
            format!("{percent} is not between 0 and 100"),
        );
    }
}

#[cfg(test)]
mod tests;
