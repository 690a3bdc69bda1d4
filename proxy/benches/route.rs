//! The pure part of a request's way: which of twenty routes has it (`find`), and which endpoint it goes to (`pick`).
//! `cargo bench --package outrigger-proxy --bench route`.

// criterion's macros make public functions without a word of documentation.
#![allow(missing_docs)]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures::FutureExt;
use http::HeaderName;
use outrigger_proxy::balance::{Ask, Cluster, Endpoints};
use outrigger_proxy::message::{Fields, Request};
use outrigger_proxy::protocol::mesh::Service as Published;
use outrigger_proxy::protocol::mesh::consistent_hash::{By, Table};
use outrigger_proxy::protocol::mesh::string_match::Kind;
use outrigger_proxy::protocol::mesh::{
    Backend, ConsistentHash, HeaderMatch, HttpMatch, HttpRoute, LoadBalancer, Protocol, StringMatch,
    TrafficPolicy,
};
use outrigger_proxy::route::{Service, find};

fn text(kind: Kind) -> Option<StringMatch> {
    Some(StringMatch { kind: Some(kind) })
}

fn header(name: &str, kind: Kind) -> HttpMatch {
    let header = HeaderMatch {
        name: name.into(),
        value: text(kind),
    };
    HttpMatch {
        headers: vec![header],
        ..Default::default()
    }
}

fn path(kind: Kind) -> HttpMatch {
    HttpMatch {
        uri: text(kind),
        ..Default::default()
    }
}

/// A VirtualService as it grows: some routes by header, one by a cookie, the most by path, and one for all the rest.
fn service() -> Service {
    let mut matches = vec![
        vec![header("x-canary", Kind::Exact("true".into()))],
        vec![header(
            "cookie",
            Kind::Regex("^(.*;\\s*)?canary=always(;.*)?$".into()),
        )],
        vec![header("x-user", Kind::Prefix("tester-".into()))],
        vec![
            path(Kind::Exact("/healthz".into())),
            path(Kind::Exact("/readyz".into())),
        ],
        vec![path(Kind::Regex("/api/v[0-9]+/search.*".into()))],
    ];
    matches.extend((1..=14).map(|number| vec![path(Kind::Prefix(format!("/api/v1/part{number}/")))]));
    matches.push(Vec::new());
    let route = |(number, matches)| HttpRoute {
        name: format!("route {number}"),
        matches,
        backends: vec![Backend {
            endpoints: "web".into(),
            weight: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let published = Published {
        host: "web.default.svc.cluster.local".into(),
        port: 80,
        protocol: Protocol::Http.into(),
        http_routes: (1..).zip(matches).map(route).collect(),
        ..Default::default()
    };
    let cluster = |backend: &Backend| Cluster::new(backend, Endpoints::new("web"));
    Service::new(published, cluster).expect("the routes mean something")
}

/// A request as browsers and services send them.
fn request(path: &str, canary: bool) -> Request {
    let mut request = http::Request::get(path)
        .header("host", "web")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        )
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, deflate, br")
        .header("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark")
        .header("x-request-id", "6f1c2f0e-63a5-4c2b-9d68-5f6f2a1c7c55");
    if canary {
        request = request.header("x-canary", "true");
    }
    request.body(()).expect("a request").into_parts().0.into()
}

fn finding(criterion: &mut Criterion) {
    let service = service();
    assert_eq!(service.http.len(), 20);
    let mut group = criterion.benchmark_group("find, 20 routes");
    for (name, request, expected) in [
        ("the first", request("/", true), "route 1"),
        (
            "the tenth",
            request("/api/v1/part5/items?page=2", false),
            "route 10",
        ),
        ("the last", request("/index.html", false), "route 20"),
    ] {
        let found = find(&service.http, &request).map(|found| found.route.name.as_str());
        assert_eq!(found, Some(expected));
        group.bench_function(name, |bencher| {
            bencher.iter(|| find(black_box(&service.http), black_box(&request)));
        });
    }
    group.finish();
}

/// A cluster with so many endpoints.
fn cluster(balancer: LoadBalancer, hash: Option<ConsistentHash>, endpoints: u32) -> Arc<Cluster> {
    let backend = Backend {
        endpoints: "web".into(),
        load_balancer: balancer.into(),
        policy: Some(TrafficPolicy {
            consistent_hash: hash,
            ..Default::default()
        }),
        ..Default::default()
    };
    let told = Endpoints::new("web");
    let cluster = Cluster::new(&backend, told.clone());
    let first = u32::from(Ipv4Addr::new(10, 244, 0, 1));
    let addresses: Vec<_> = (first..first + endpoints)
        .map(|ip| SocketAddr::from((Ipv4Addr::from(ip), 8080)))
        .collect();
    told.update_addresses(&addresses);
    cluster
}

fn picking(criterion: &mut Criterion) {
    let hash = |table| ConsistentHash {
        by: Some(By::Header("x-user".into())),
        table: Some(table),
    };
    let rows = [
        ("least request", LoadBalancer::LeastRequest, None),
        ("round robin", LoadBalancer::RoundRobin, None),
        (
            "ring",
            LoadBalancer::LeastRequest,
            Some(hash(Table::RingSize(1024))),
        ),
        (
            "Maglev",
            LoadBalancer::LeastRequest,
            Some(hash(Table::MaglevSize(65537))),
        ),
    ];
    let headers = Fields::from_iter([(&HeaderName::from_static("x-user"), "42")]);
    let uri = "/".parse().expect("a path");
    let mut group = criterion.benchmark_group("pick");
    for (name, balancer, hash) in rows {
        for endpoints in [10, 1000] {
            let cluster = cluster(balancer, hash.clone(), endpoints);
            let pick = || {
                let key = cluster.hash(&uri, &headers, Ipv4Addr::LOCALHOST.into()).key;
                // Its endpoints are known, so that nothing is waited for.
                cluster
                    .pick(Ask {
                        key,
                        ..Ask::default()
                    })
                    .now_or_never()
                    .flatten()
            };
            assert!(pick().is_some());
            group.bench_function(BenchmarkId::new(name, endpoints), |bencher| bencher.iter(pick));
        }
    }
    group.finish();
}

criterion_group!(benches, finding, picking);
criterion_main!(benches);
