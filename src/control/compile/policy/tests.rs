//! DestinationRules and Services in, what a client is told of one destination out.

mod published;
mod rules;
mod services;

use std::collections::BTreeMap;

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::client_tls::Mode;
use outrigger_proxy::protocol::mesh::consistent_hash::{By, Table};
use outrigger_proxy::protocol::mesh::locality_policy::Prefer;

use crate::control::compile::{Client, endpoints, problems, service, workload};
use crate::control::directory::{documents, events};
use crate::control::world::{Key, Pod, World};

const CLUSTER: &str = "
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: http-admin, port: 81}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}], sessionAffinity: ClientIP, trafficDistribution: PreferClose}}
---
{apiVersion: v1, kind: Service, metadata: {name: c}, spec: {clusterIP: 10.0.0.3, ports: [{name: http, port: 80}], internalTrafficPolicy: Local, trafficDistribution: PreferSameNode}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, spec: {hosts: [a], http: [{match: [{uri: {prefix: /v1}}], route: [{destination: {host: a, subset: v1}}]}, {route: [{destination: {host: a}}]}]}}
---
";

fn world(objects: &str) -> World {
    let text = format!("{CLUSTER}{objects}");
    let documents = documents(&[("test.yaml".to_owned(), text)]).unwrap();
    let mut world = World::new("cluster.local".to_owned(), Vec::new());
    for event in events(&documents).unwrap() {
        world.apply(event);
    }
    world
}

fn dr(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: {name}, namespace: {namespace}}}, spec: {spec}}}\n---\n"
    )
}

fn client(namespace: &str, labels: &[(&str, &str)]) -> Client {
    let labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Client {
        namespace: namespace.to_owned(),
        labels: labels.collect(),
    }
}

/// What is told of the default route of an address.
fn told(world: &World, client: &Client, address: &str) -> mesh::Backend {
    let service = service(world, client, address.parse().unwrap()).unwrap();
    service.http_routes.last().unwrap().backends[0].clone()
}

fn render(backend: &mesh::Backend) -> String {
    if !backend.unavailable.is_empty() {
        return format!("503 {}", backend.unavailable);
    }
    let mut words = vec![match backend.load_balancer() {
        mesh::LoadBalancer::LeastRequest => "least".to_owned(),
        mesh::LoadBalancer::RoundRobin => "turn".to_owned(),
        mesh::LoadBalancer::Random => "random".to_owned(),
    }];
    if backend.original_destination {
        words = vec!["dialled".to_owned()];
    }
    let policy = backend.policy.clone().unwrap_or_default();
    words.extend(policy.consistent_hash.iter().map(hash));
    if policy.warmup_seconds > 0 {
        words.push(format!(
            "warm {}s {}% {}",
            policy.warmup_seconds, policy.warmup_minimum_percent, policy.warmup_aggression
        ));
    }
    words.extend(policy.locality.iter().map(near));
    if let Some(eject) = policy.outlier_detection {
        words.push(format!(
            "eject {}/{}/{}{} {}ms {}ms {}% {}%",
            eject.consecutive_5xx,
            eject.consecutive_gateway_errors,
            eject.consecutive_local_origin_failures,
            if eject.split_local_origin_errors {
                " split"
            } else {
                ""
            },
            eject.interval_ms,
            eject.base_ejection_ms,
            eject.max_ejection_percent,
            eject.min_health_percent
        ));
    }
    words.extend(policy.connection_pool.iter().map(limits));
    if let Some(tls) = policy.tls {
        assert_eq!(tls.mode(), Mode::Simple);
        let skip = if tls.insecure_skip_verify {
            " unverified"
        } else {
            ""
        };
        words.push(format!(
            "tls {} {:?} {:?}{skip}",
            tls.sni, tls.subject_alt_names, tls.ca_file
        ));
    }
    if policy.own_node_only {
        words.push("own node".to_owned());
    }
    words.join(", ")
}

fn hash(hash: &mesh::ConsistentHash) -> String {
    let by = match hash.by.as_ref().unwrap() {
        By::Header(name) => format!("header {name}"),
        By::Cookie(cookie) => format!("cookie {} {} {:?}", cookie.name, cookie.path, cookie.ttl_seconds),
        By::SourceIp(on) => format!("source {on}"),
        By::QueryParam(name) => format!("query {name}"),
    };
    match hash.table {
        None => format!("hash {by}"),
        Some(Table::RingSize(size)) => format!("hash {by} ring {size}"),
        Some(Table::MaglevSize(size)) => format!("hash {by} maglev {size}"),
    }
}

fn near(policy: &mesh::LocalityPolicy) -> String {
    let mut words = vec!["near".to_owned()];
    words.extend(match policy.prefer() {
        Prefer::NoPreference => None,
        Prefer::SameZone => Some("zone".to_owned()),
        Prefer::SameNode => Some("node".to_owned()),
    });
    words.extend(policy.distribute.iter().map(|rule| {
        let to: BTreeMap<_, _> = rule.to.iter().collect();
        format!("{}={to:?}", rule.from)
    }));
    words.extend(
        policy
            .failover
            .iter()
            .map(|rule| format!("{}>{}", rule.from, rule.to)),
    );
    words.extend(policy.failover_priority.iter().cloned());
    words.join(" ")
}

fn limits(pool: &mesh::ConnectionPool) -> String {
    let numbers = [
        ("connections", pool.max_connections),
        ("connect", pool.connect_timeout_ms),
        ("probes", pool.keepalive_probes),
        ("time", pool.keepalive_time_seconds),
        ("every", pool.keepalive_interval_seconds),
        ("age", pool.max_connection_duration_ms),
        ("silent", pool.tcp_idle_timeout_ms),
        ("pending", pool.max_pending_requests),
        ("requests", pool.max_requests),
        ("each", pool.max_requests_per_connection),
        ("retries", pool.max_retries),
        ("streams", pool.max_concurrent_streams),
        ("idle", pool.http_idle_timeout_ms),
        ("least", pool.retry_budget_least),
    ];
    let mut words: Vec<_> = numbers
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    words.extend(
        pool.retry_budget_percent
            .map(|percent| format!("budget {percent}%")),
    );
    words.join(" ")
}

const ENDPOINTS: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.1.0.1], zone: z1, nodeName: n1, targetRef: {kind: Pod, name: one, namespace: default}}
- {addresses: [10.1.0.2], zone: z2, conditions: {ready: false, serving: true, terminating: true}, targetRef: {kind: Pod, name: two, namespace: default}}
- {addresses: [10.1.0.3], conditions: {ready: false, serving: false, terminating: true}}
- {addresses: [10.1.0.4], conditions: {ready: false}}
---
{apiVersion: v1, kind: Pod, metadata: {name: one, labels: {app: a, version: v1}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: eu, kubernetes.io/hostname: n1}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two, labels: {app: a, version: v2, istio-locality: us.west.rack1}}}
---
";
