//! What a DestinationRule and the Service itself say of how requests reach the endpoints, as it is published. Defaults are
//! Istio's. Before: `subset` knows what is said. After: the proxy's `balance` and `pool`.

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::LoadBalancer;

use super::subset::Parts;
use crate::api::{
    ClientTlsSettings, ConnectionPoolSettings, OutlierDetection, RetryBudget, SimpleLb, TlsMode,
    parse_duration,
};
use crate::control::world::Service;

mod load_balancer;

use load_balancer::{consistent_hash, locality, warmup};

/// How long an ejection lasts and the like, unless a rule says otherwise: Istio's defaults, in milliseconds.
const INTERVAL: u32 = 10_000;
const BASE_EJECTION: u32 = 30_000;

/// Writes into a backend how its endpoints are used.
///
/// # Errors
/// What of the policy is not supported and must not be left out, in words for whoever wrote it.
pub(super) fn apply(
    backend: &mut mesh::Backend,
    parts: &Parts<'_>,
    service: &Service,
    host: &str,
) -> Result<(), String> {
    if let Some(field) = parts.unsupported {
        return Err(format!("{field}, which is not supported"));
    }
    // What says two things says nothing.
    let settings = parts
        .load_balancer
        .filter(|said| said.simple.is_none() || said.consistent_hash.is_none());
    let simple = settings.and_then(|settings| settings.simple);
    let hash = consistent_hash(settings, service);
    backend.load_balancer = match simple {
        Some(SimpleLb::RoundRobin) => LoadBalancer::RoundRobin,
        Some(SimpleLb::Random) => LoadBalancer::Random,
        _ => LoadBalancer::LeastRequest,
    }
    .into();
    if simple == Some(SimpleLb::Passthrough) && hash.is_none() {
        backend.original_destination = true;
        backend.endpoints = String::new();
    }
    let (warmup_seconds, warmup_minimum_percent, warmup_aggression) = match hash {
        None => settings.map(warmup).unwrap_or_default(),
        Some(_) => Default::default(),
    };
    let outlier_detection = parts.outlier_detection.map(outlier_detection);
    let policy = mesh::TrafficPolicy {
        consistent_hash: hash,
        warmup_seconds,
        warmup_minimum_percent,
        warmup_aggression,
        locality: locality(settings, service, outlier_detection.is_some()),
        outlier_detection,
        connection_pool: connection_pool(parts.connection_pool, parts.retry_budget),
        tls: parts.tls.map(|tls| client_tls(tls, host)).transpose()?.flatten(),
        own_node_only: service.own_node_only,
    };
    backend.policy = (policy != mesh::TrafficPolicy::default()).then_some(policy);
    Ok(())
}

fn milliseconds(text: Option<&String>) -> Option<u32> {
    let duration = parse_duration(text?).ok()?;
    u32::try_from(duration.as_millis()).ok()
}

/// In seconds, and at least one.
fn seconds(text: Option<&String>) -> Option<u32> {
    milliseconds(text).map(|milliseconds| milliseconds.div_ceil(1_000))
}

fn outlier_detection(said: &OutlierDetection) -> mesh::OutlierDetection {
    let split = said.split_external_local_origin_errors;
    let local = said.consecutive_local_origin_failures.unwrap_or(5);
    mesh::OutlierDetection {
        consecutive_5xx: said.consecutive_5xx_errors.unwrap_or(5),
        consecutive_gateway_errors: said.consecutive_gateway_errors.unwrap_or(0),
        consecutive_local_origin_failures: if split { local } else { 0 },
        split_local_origin_errors: split,
        interval_ms: milliseconds(said.interval.as_ref()).unwrap_or(INTERVAL),
        base_ejection_ms: milliseconds(said.base_ejection_time.as_ref()).unwrap_or(BASE_EJECTION),
        // 0 is as good as nothing in Istio's protobuf.
        max_ejection_percent: said
            .max_ejection_percent
            .filter(|percent| (1..=100).contains(percent))
            .unwrap_or(10),
        min_health_percent: said.min_health_percent.unwrap_or(0).min(100),
    }
}

fn connection_pool(
    said: Option<&ConnectionPoolSettings>,
    budget: Option<&RetryBudget>,
) -> Option<mesh::ConnectionPool> {
    let mut pool = mesh::ConnectionPool::default();
    if let Some(tcp) = said.and_then(|said| said.tcp.as_ref()) {
        pool.max_connections = tcp.max_connections.unwrap_or(0);
        pool.connect_timeout_ms = milliseconds(tcp.connect_timeout.as_ref()).unwrap_or(0);
        pool.max_connection_duration_ms = milliseconds(tcp.max_connection_duration.as_ref()).unwrap_or(0);
        pool.tcp_idle_timeout_ms = milliseconds(tcp.idle_timeout.as_ref()).unwrap_or(0);
        if let Some(keepalive) = &tcp.tcp_keepalive {
            // Linux' default, so that what is there without a number is still on.
            pool.keepalive_probes = keepalive.probes.filter(|probes| *probes > 0).unwrap_or(9);
            pool.keepalive_time_seconds = seconds(keepalive.time.as_ref()).unwrap_or(0);
            pool.keepalive_interval_seconds = seconds(keepalive.interval.as_ref()).unwrap_or(0);
        }
    }
    if let Some(http) = said.and_then(|said| said.http.as_ref()) {
        pool.max_pending_requests = http.http1_max_pending_requests.unwrap_or(0);
        pool.max_requests = http.http2_max_requests.unwrap_or(0);
        pool.max_requests_per_connection = http.max_requests_per_connection.unwrap_or(0);
        pool.max_retries = http.max_retries.unwrap_or(0);
        pool.max_concurrent_streams = http.max_concurrent_streams.unwrap_or(0);
        pool.http_idle_timeout_ms = milliseconds(http.idle_timeout.as_ref()).unwrap_or(0);
    }
    if let Some(budget) = budget {
        pool.retry_budget_percent = Some(budget.percent.unwrap_or(20.0));
        pool.retry_budget_least = budget.min_retry_concurrency.unwrap_or(3);
    }
    (pool != mesh::ConnectionPool::default()).then_some(pool)
}

/// `None`: connections stay as they are.
fn client_tls(said: &ClientTlsSettings, host: &str) -> Result<Option<mesh::ClientTls>, String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match said.mode {
        // Until pods have identities.
        TlsMode::Disable | TlsMode::IstioMutual => return Ok(None),
        TlsMode::Mutual => return Err("tls.mode MUTUAL, which is not supported".to_owned()),
        TlsMode::Simple => {}
    }
    for (field, value) in [
        ("clientCertificate", &said.client_certificate),
        ("privateKey", &said.private_key),
        ("credentialName", &said.credential_name),
        ("caCrl", &said.ca_crl),
    ] {
        if !text(value).is_empty() {
            return Err(format!("tls.{field}, which is not supported"));
        }
    }
    let sni = text(&said.sni);
    let ca_file = text(&said.ca_certificates);
    let skip = said.insecure_skip_verify == Some(true);
    if skip && (!ca_file.is_empty() || !said.subject_alt_names.is_empty()) {
        return Err("tls.insecureSkipVerify together with what to verify".to_owned());
    }
    Ok(Some(mesh::ClientTls {
        mode: mesh::client_tls::Mode::Simple.into(),
        sni: if sni.is_empty() { host.to_owned() } else { sni },
        subject_alt_names: said.subject_alt_names.clone(),
        insecure_skip_verify: skip,
        // Istio's word for the public ones.
        ca_file: if ca_file == "system" {
            String::new()
        } else {
            ca_file
        },
    }))
}

#[cfg(test)]
mod tests;
