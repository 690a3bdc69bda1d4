//! Load balancing and localities.

use super::duration;
use crate::api::destination_rule::{
    ConsistentHashLb, LoadBalancerSettings, LocalityLbSetting, SimpleLb, Warmup,
};
use crate::api::{Findings, names, parse_duration};

/// Istio's limit for Maglev's table, in entries.
const LARGEST_TABLE: u64 = 5_000_011;

pub(super) fn validate(field: &str, settings: &LoadBalancerSettings, detects: bool, found: &mut Findings) {
    if let Some(hash) = &settings.consistent_hash {
        if settings.simple.is_some() {
            found.error(field, "has both simple and consistentHash");
        }
        consistent_hash(&format!("{field}.consistentHash"), hash, found);
    }
    if let Some(text) = &settings.warmup_duration_secs {
        duration(field, "warmupDurationSecs", Some(text), found);
        found.warning(
            format!("{field}.warmupDurationSecs"),
            "is deprecated; use warmup.duration",
        );
    }
    if let Some(settings) = &settings.warmup {
        warmup(&format!("{field}.warmup"), settings, found);
    }
    let warms = settings.warmup.is_some() || settings.warmup_duration_secs.is_some();
    let fits = matches!(
        settings.simple,
        None | Some(
            SimpleLb::Unspecified | SimpleLb::LeastConn | SimpleLb::LeastRequest | SimpleLb::RoundRobin
        )
    );
    if warms && (!fits || settings.consistent_hash.is_some()) {
        found.warning(
            field,
            "warmup has an effect with LEAST_REQUEST and ROUND_ROBIN only",
        );
    }
    if let Some(setting) = &settings.locality_lb_setting {
        locality(&format!("{field}.localityLbSetting"), setting, detects, found);
    }
}

fn consistent_hash(field: &str, hash: &ConsistentHashLb, found: &mut Findings) {
    let by = [
        hash.http_header_name.is_some(),
        hash.http_cookie.is_some(),
        hash.use_source_ip.is_some(),
        hash.http_query_parameter_name.is_some(),
    ];
    match by.iter().filter(|set| **set).count() {
        0 => found.error(
            field,
            "needs one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName",
        ),
        1 => {}
        _ => found.error(
            field,
            "has more than one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName",
        ),
    }
    if let Some(name) = &hash.http_header_name {
        found.check(format!("{field}.httpHeaderName"), names::header_name(name));
    }
    if let Some(cookie) = &hash.http_cookie {
        let field = format!("{field}.httpCookie");
        if cookie.name.is_empty() {
            found.error(format!("{field}.name"), "is needed");
        }
        if let Some(ttl) = cookie.ttl.as_ref().filter(|ttl| *ttl != "0s") {
            found.check(format!("{field}.ttl"), parse_duration(ttl));
        }
    }
    if hash.ring_hash.is_some() && hash.maglev.is_some() {
        found.error(field, "has both ringHash and maglev");
    }
    if hash.minimum_ring_size.is_some() {
        found.warning(
            format!("{field}.minimumRingSize"),
            "is deprecated; use ringHash.minimumRingSize",
        );
    }
    let size = hash.maglev.as_ref().and_then(|maglev| maglev.table_size);
    if let Some(size) = size
        && !is_table_size(size)
    {
        found.error(
            format!("{field}.maglev.tableSize"),
            format!("{size} is not a prime below {LARGEST_TABLE}"),
        );
    }
}

/// Whether Maglev's table may have so many entries: a prime, and not too large.
pub(crate) fn is_table_size(number: u64) -> bool {
    let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
    (2..LARGEST_TABLE).contains(&number) && divisors.all(|divisor| !number.is_multiple_of(divisor))
}

fn warmup(field: &str, warmup: &Warmup, found: &mut Findings) {
    match &warmup.duration {
        None => found.error(format!("{field}.duration"), "is needed"),
        Some(text) => duration(field, "duration", Some(text), found),
    }
    if let Some(percent) = warmup.minimum_percent
        && !(0.0..=100.0).contains(&percent)
    {
        found.error(
            format!("{field}.minimumPercent"),
            format!("{percent} is not between 0 and 100"),
        );
    }
    if let Some(aggression) = warmup.aggression.filter(|aggression| *aggression < 1.0) {
        found.error(
            format!("{field}.aggression"),
            format!("{aggression} is less than 1"),
        );
    }
}

fn locality(field: &str, setting: &LocalityLbSetting, detects: bool, found: &mut Findings) {
    if !setting.distribute.is_empty() && !setting.failover.is_empty() {
        found.error(field, "has both distribute and failover");
    }
    if !setting.failover_priority.is_empty() && !setting.failover.is_empty() {
        found.error(field, "has both failover and failoverPriority");
    }
    if !detects && (!setting.failover.is_empty() || !setting.failover_priority.is_empty()) {
        found.warning(
            field,
            "nothing fails over without outlierDetection, which tells what is not healthy",
        );
    }
    for (index, rule) in setting.distribute.iter().enumerate() {
        let field = format!("{field}.distribute[{index}]");
        found.check(format!("{field}.from"), place(&rule.from));
        for (to, share) in &rule.to {
            found.check(format!("{field}.to.{to}"), place(to));
            if *share == 0 || *share > 100 {
                found.error(
                    format!("{field}.to.{to}"),
                    format!("{share} is not between 1 and 100"),
                );
            }
        }
        let sum: u64 = rule.to.values().map(|share| u64::from(*share)).sum();
        if sum != 100 {
            found.error(
                format!("{field}.to"),
                format!("the shares are {sum} together, and not 100"),
            );
        }
    }
    for (index, rule) in setting.failover.iter().enumerate() {
        let field = format!("{field}.failover[{index}]");
        for (name, region) in [("from", &rule.from), ("to", &rule.to)] {
            if region.is_empty() || region.contains(['/', '*']) {
                found.error(
                    format!("{field}.{name}"),
                    format!("{region:?} is not the name of a region"),
                );
            }
        }
        if rule.from == rule.to {
            found.error(field, "fails over to the region itself");
        }
    }
    for (index, label) in setting.failover_priority.iter().enumerate() {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        found.check(
            format!("{field}.failoverPriority[{index}]"),
            names::label(name, value),
        );
    }
}

/// `region`, `region/zone` or `region/zone/subzone`, of which the last may be `*`.
fn place(text: &str) -> Result<(), String> {
    let parts: Vec<_> = text.split('/').collect();
    let star = parts.iter().position(|part| part.contains('*'));
    let good = parts.len() <= 3
        && parts.iter().all(|part| !part.is_empty())
        && star.is_none_or(|at| parts[at] == "*" && at + 1 == parts.len());
    match good {
        true => Ok(()),
        false => Err(format!(
            "{text:?} is not a locality: region/zone/subzone, of which the last that is there may be *"
        )),
    }
}
