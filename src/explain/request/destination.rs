//! Where a route leads: each choice with its share, how an endpoint of it is picked, and the endpoints that are ready. A part
//! of `answer`.

use std::net::IpAddr;

use outrigger_proxy::protocol::mesh;
use serde::Serialize;

use super::rule;
use super::source::Source;
use crate::control::compile;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Destination {
    pub(super) percent: f64,
    /// With the port; empty if it leads nowhere.
    pub(super) host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subset: Option<String>,
    /// By which the subset's endpoints are selected.
    pub(super) labels: String,
    pub(super) load_balancer: String,
    /// What else the DestinationRules say of it.
    pub(super) policies: Vec<&'static str>,
    pub(super) does: Vec<String>,
    /// Those that are ready.
    pub(super) endpoints: Vec<Endpoint>,
    /// Why requests for it are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unavailable: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Endpoint {
    pub(super) address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weight: Option<u32>,
}

pub(super) fn destinations(source: &Source, backends: &[mesh::Backend]) -> Vec<Destination> {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let share = |backend: &mesh::Backend| match backends.len() {
        1 => 100.0,
        _ => f64::from(backend.weight) * 100.0 / total.max(1) as f64,
    };
    let destinations = backends.iter();
    destinations
        .map(|backend| destination(source, backend, share(backend)))
        .collect()
}

pub(super) fn destination(source: &Source, backend: &mesh::Backend, percent: f64) -> Destination {
    let (address, labels) = backend
        .endpoints
        .split_once('/')
        .unwrap_or((&backend.endpoints, ""));
    // "outbound|PORT|SUBSET|HOST"
    let subset = backend
        .cluster
        .split('|')
        .nth(2)
        .filter(|subset| !subset.is_empty());
    let known = compile::endpoints_for(&source.world, &source.client.namespace, &backend.endpoints)
        .unwrap_or_default()
        .endpoints;
    let endpoints: Vec<_> = known
        .iter()
        .filter(|endpoint| !endpoint.terminating)
        .map(|endpoint| Endpoint {
            address: match endpoint.address.parse::<IpAddr>() {
                Ok(IpAddr::V6(address)) => format!("[{address}]:{}", endpoint.port),
                _ => format!("{}:{}", endpoint.address, endpoint.port),
            },
            pod: endpoint
                .address
                .parse()
                .ok()
                .and_then(|address| source.world.pod_at(address))
                .map(ToString::to_string),
            weight: (endpoint.weight > 0).then_some(endpoint.weight),
        })
        .collect();
    let unavailable = if !backend.unavailable.is_empty() {
        Some(backend.unavailable.clone())
    } else if endpoints.is_empty() && !backend.original_destination {
        let of = if labels.is_empty() {
            String::new()
        } else {
            format!(" with {labels}")
        };
        Some(format!("{address} has no ready endpoint{of}"))
    } else {
        None
    };
    Destination {
        percent,
        host: match backend.original_destination {
            true => "where the client connects to".to_owned(),
            false => address.to_owned(),
        },
        subset: subset.map(str::to_owned),
        labels: labels.to_owned(),
        load_balancer: rule::balancing(backend),
        policies: rule::policies(backend),
        does: backend.headers.iter().flat_map(rule::headers).collect(),
        endpoints,
        unavailable,
    }
}
