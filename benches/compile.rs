//! What one change costs the control plane: what a client is told of a service is compiled, a rule is judged, an event is taken
//! in. `cargo bench --bench compile`. Sizes of the cluster are doubled and more, so that a time that grows with it shows.

// criterion's macros make public functions without a word of documentation.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use outrigger::control::compile::{Client, endpoints, problems_of, service};
use outrigger::control::world::{
    Endpoint, EndpointSlice, Event, Key, Kind, Object, Pod, Rule, RuleSpec, Service, ServicePort, World,
};
use serde_json::{Value, json};

const NAMESPACE: &str = "default";
const ENDPOINTS: usize = 10;
const ROUTES: usize = 20;

fn name(number: usize) -> String {
    format!("svc-{number}")
}

fn address(first: u8, number: usize) -> IpAddr {
    let base = u32::from(Ipv4Addr::new(10, first, 0, 0));
    IpAddr::V4(Ipv4Addr::from(base + u32::try_from(number).expect("few")))
}

fn a_service(number: usize) -> Object {
    Object::Service(Service {
        key: Key::new(NAMESPACE, &name(number)),
        addresses: vec![address(96, number)],
        ports: vec![ServicePort {
            name: "http".to_owned(),
            port: 80,
            app_protocol: None,
        }],
        ..Default::default()
    })
}

fn pod(number: usize) -> Object {
    let labels = [
        ("app", name(number / ENDPOINTS)),
        ("version", format!("v{}", 1 + number % 2)),
    ];
    Object::Pod(Pod {
        key: Key::new(NAMESPACE, &format!("pod-{number}")),
        uid: number.to_string(),
        labels: BTreeMap::from(labels.map(|(label, value)| (label.to_owned(), value))),
    })
}

fn slice(number: usize, last_ready: bool) -> Object {
    let endpoint = |replica| {
        let pod = number * ENDPOINTS + replica;
        Endpoint {
            addresses: vec![address(128, pod)],
            ready: last_ready || replica + 1 < ENDPOINTS,
            zone: Some("region-1a".to_owned()),
            node: Some(format!("node-{}", pod % 1000)),
            pod: Some(Key::new(NAMESPACE, &format!("pod-{pod}"))),
            ..Default::default()
        }
    };
    Object::EndpointSlice(EndpointSlice {
        key: Key::new(NAMESPACE, &format!("svc-{number}-x")),
        service: Key::new(NAMESPACE, &name(number)),
        ports: BTreeMap::from([("http".to_owned(), 8080)]),
        endpoints: (0..ENDPOINTS).map(endpoint).collect(),
    })
}

fn rule<S: RuleSpec>(number: usize, spec: Value) -> Rule<S> {
    let object = json!({"metadata": {"name": name(number), "namespace": NAMESPACE}, "spec": spec});
    Rule::read(&object).expect("a rule")
}

fn virtual_service(number: usize, version: u64) -> Object {
    let host = name(number);
    let routes: Vec<_> = (0..ROUTES)
        .map(|route| {
            json!({
                "match": [{
                    "uri": {"prefix": format!("/part-{route}")},
                    "sourceLabels": {"app": "client"},
                    "headers": {"x-user": {"regex": "[a-z]+"}},
                }],
                "route": [
                    {"destination": {"host": host, "subset": "v1"}, "weight": 90},
                    {"destination": {"host": host, "subset": "v2"}, "weight": 10},
                ],
                "timeout": format!("{}s", 1 + version % 1000),
                "retries": {"attempts": 3, "retryOn": "5xx"},
            })
        })
        .collect();
    Object::VirtualService(rule(number, json!({"hosts": [host], "http": routes})))
}

fn destination_rule(number: usize) -> Object {
    let subset = |version: &str| json!({"name": version, "labels": {"version": version}});
    let spec = json!({"host": name(number), "subsets": [subset("v1"), subset("v2")]});
    Object::DestinationRule(Box::new(rule(number, spec)))
}

/// So many services, each with endpoints, and the first of them with rules.
fn world(services: usize, ruled: usize) -> World {
    let mut world = World::default();
    let mut list = |kind, objects| world.apply(Event::Replace(kind, objects));
    list(Kind::Service, (0..services).map(a_service).collect());
    list(Kind::Pod, (0..services * ENDPOINTS).map(pod).collect());
    list(
        Kind::EndpointSlice,
        (0..services).map(|number| slice(number, true)).collect(),
    );
    list(
        Kind::VirtualService,
        (0..ruled).map(|number| virtual_service(number, 0)).collect(),
    );
    list(Kind::DestinationRule, (0..ruled).map(destination_rule).collect());
    world
}

fn one_service(criterion: &mut Criterion) {
    let world = world(1, 1);
    let client = Client {
        namespace: NAMESPACE.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), "client".to_owned())]),
    };
    let dialled = SocketAddr::new(address(96, 0), 80);
    let compiled = service(&world, &client, dialled).expect("a service");
    assert_eq!(compiled.http_routes.len(), ROUTES);
    criterion.bench_function("a service of 20 routes", |bencher| {
        bencher.iter(|| service(&world, &client, dialled));
    });
    let host = "svc-0.default.svc.cluster.local:80";
    assert_eq!(
        endpoints(&world, host).map(|told| told.endpoints.len()),
        Some(ENDPOINTS)
    );
    criterion.bench_function("10 endpoints", |bencher| {
        bencher.iter(|| endpoints(&world, host));
    });
}

fn one_rule(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("problems of one rule among");
    for rules in [20, 200, 2000] {
        let world = world(rules, rules);
        let rule = (Kind::VirtualService, Key::new(NAMESPACE, &name(rules / 2)));
        group.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            bencher.iter(|| problems_of(&world, &rule));
        });
    }
    group.finish();
}

fn one_event(criterion: &mut Criterion) {
    let mut worlds: Vec<_> = [100, 1000, 10_000]
        .map(|services| (services, world(services, services / 10)))
        .into();
    let mut group = criterion.benchmark_group("an endpoint event among services");
    for (services, world) in &mut worlds {
        let number = *services / 2;
        let mut ready = true;
        group.bench_function(BenchmarkId::from_parameter(*services), |bencher| {
            bencher.iter(|| {
                ready = !ready;
                world.apply(Event::Apply(slice(number, ready)))
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("a rule event among services");
    for (services, world) in &mut worlds {
        let mut version = 0;
        group.bench_function(BenchmarkId::from_parameter(*services), |bencher| {
            bencher.iter(|| {
                version += 1;
                world.apply(Event::Apply(virtual_service(0, version)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_service, one_rule, one_event);
criterion_main!(benches);
