//! How an endpoint is picked, as it is published. Belongs to `policy`.

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::consistent_hash::{By, Cookie, Table};
use outrigger_proxy::protocol::mesh::locality_policy::{Distribute, Failover, Prefer};

use super::seconds;
use crate::api::{ConsistentHashLb, LoadBalancerSettings, LocalityLbSetting, SimpleLb, is_table_size, names};
use crate::control::world::{Service, TrafficDistribution};

/// Envoy's slow_start_config.min_weight_percent.
const MINIMUM_PERCENT: f64 = 10.0;

/// What requests are hashed by. A ClientIP session is kept in the same way: all requests of a pod go to one endpoint.
pub(super) fn consistent_hash(
    settings: Option<&LoadBalancerSettings>,
    service: &Service,
) -> Option<mesh::ConsistentHash> {
    match settings.and_then(|settings| settings.consistent_hash.as_ref()) {
        Some(said) => Some(mesh::ConsistentHash {
            by: Some(by(said)?),
            table: table(said)?,
        }),
        None => {
            let chosen = settings
                .and_then(|settings| settings.simple)
                .is_some_and(|simple| simple != SimpleLb::Unspecified);
            (service.client_ip_affinity && !chosen).then_some(mesh::ConsistentHash {
                by: Some(By::SourceIp(true)),
                table: None,
            })
        }
    }
}

/// `None` if it does not say one thing.
fn by(said: &ConsistentHashLb) -> Option<By> {
    let header = said.http_header_name.as_ref();
    let header = header.map(|name| {
        names::header_name(name)
            .is_ok()
            .then(|| By::Header(name.to_ascii_lowercase()))
    });
    let cookie = said.http_cookie.as_ref().map(|cookie| {
        let ttl = cookie.ttl.as_ref();
        (!cookie.name.is_empty()).then(|| {
            By::Cookie(Cookie {
                name: cookie.name.clone(),
                path: cookie.path.clone().unwrap_or_default(),
                ttl_seconds: match ttl.map(String::as_str) {
                    Some("0s") => Some(0),
                    _ => seconds(ttl),
                },
            })
        })
    });
    let source = said.use_source_ip.map(|on| on.then_some(By::SourceIp(true)));
    let query = said
        .http_query_parameter_name
        .clone()
        .map(|name| Some(By::QueryParam(name)));
    let mut all = [header, cookie, source, query].into_iter().flatten();
    all.next().filter(|_| all.next().is_none()).flatten()
}

/// The inner `None` is the default, the outer one that there are two.
fn table(said: &ConsistentHashLb) -> Option<Option<Table>> {
    let ring = said.ring_hash.as_ref().map(|ring| ring.minimum_ring_size);
    match (&said.maglev, ring) {
        (Some(_), Some(_)) => None,
        (Some(maglev), None) => {
            let size = maglev.table_size.filter(|size| is_table_size(*size));
            Some(Some(Table::MaglevSize(size.unwrap_or(0))))
        }
        (None, ring) => Some(ring.flatten().or(said.minimum_ring_size).map(Table::RingSize)),
    }
}

/// Seconds, the lowest share in percent, and how it grows.
pub(super) fn warmup(settings: &LoadBalancerSettings) -> (u32, u32, f64) {
    let said = settings.warmup.as_ref();
    let duration = said
        .and_then(|said| said.duration.as_ref())
        .or(settings.warmup_duration_secs.as_ref());
    let Some(seconds) = seconds(duration).filter(|_| settings.simple != Some(SimpleLb::Random)) else {
        return Default::default();
    };
    let percent = said
        .and_then(|said| said.minimum_percent)
        .unwrap_or(MINIMUM_PERCENT);
    let aggression = said
        .and_then(|said| said.aggression)
        .filter(|aggression| *aggression >= 1.0);
    // A percentage is far within these numbers.
    let percent = percent.clamp(0.0, 100.0).round() as u32;
    (seconds, percent, aggression.unwrap_or(1.0))
}

/// What is near comes first if a rule says so, or the Service; and what is not healthy is made up for by what is
/// farther, as in Istio, whose mesh-wide setting is on.
pub(super) fn locality(
    settings: Option<&LoadBalancerSettings>,
    service: &Service,
    detects: bool,
) -> Option<mesh::LocalityPolicy> {
    if let Some(said) = settings.and_then(|settings| settings.locality_lb_setting.as_ref()) {
        let both =
            !said.failover.is_empty() && (!said.distribute.is_empty() || !said.failover_priority.is_empty());
        return (said.enabled != Some(false) && !both).then(|| by_rule(said));
    }
    let prefer = match service.traffic_distribution {
        Some(TrafficDistribution::SameZone) => Prefer::SameZone,
        Some(TrafficDistribution::SameNode) => Prefer::SameNode,
        None => return detects.then(mesh::LocalityPolicy::default),
    };
    Some(mesh::LocalityPolicy {
        prefer: prefer.into(),
        ..Default::default()
    })
}

fn by_rule(said: &LocalityLbSetting) -> mesh::LocalityPolicy {
    let distribute = said.distribute.iter().map(|rule| Distribute {
        from: rule.from.clone(),
        to: rule.to.clone().into_iter().collect(),
    });
    let failover = said.failover.iter().map(|rule| Failover {
        from: rule.from.clone(),
        to: rule.to.clone(),
    });
    mesh::LocalityPolicy {
        distribute: distribute.collect(),
        failover: failover.collect(),
        failover_priority: said.failover_priority.clone(),
        prefer: Prefer::NoPreference.into(),
    }
}
