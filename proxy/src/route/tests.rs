//! Which route has a request, and which of its choices.

use super::*;
use crate::balance::Endpoints;
use mesh::string_match::Kind;

fn cluster(backend: &mesh::Backend) -> Arc<Cluster> {
    Cluster::new(backend, Endpoints::new(&backend.endpoints))
}

fn service(routes: Vec<mesh::HttpRoute>) -> Service {
    let published = mesh::Service {
        host: "helloworld.default.svc.cluster.local".into(),
        port: 5000,
        protocol: mesh::Protocol::Http.into(),
        http_routes: routes,
        tcp_backends: vec![],
        ..Default::default()
    };
    Service::new(published, cluster).unwrap()
}

fn route(name: &str, matches: Vec<mesh::HttpMatch>) -> mesh::HttpRoute {
    let backend = mesh::Backend {
        endpoints: name.into(),
        weight: 1,
        ..Default::default()
    };
    mesh::HttpRoute {
        name: name.into(),
        matches,
        backends: vec![backend],
        ..Default::default()
    }
}

fn uri(kind: Kind) -> mesh::HttpMatch {
    mesh::HttpMatch {
        uri: Some(mesh::StringMatch { kind: Some(kind) }),
        headers: vec![],
        ..Default::default()
    }
}

fn found(service: &Service, path: &str) -> Option<String> {
    let (parts, ()) = http::Request::get(path).body(()).unwrap().into_parts();
    find(&service.http, &parts.into()).map(|found| found.route.name.clone())
}

#[test]
fn the_first_route_that_holds_wins_and_none_is_none() {
    let service = service(vec![
        route("exact", vec![uri(Kind::Exact("/a".into()))]),
        route(
            "either",
            vec![uri(Kind::Exact("/b".into())), uri(Kind::Prefix("/a".into()))],
        ),
    ]);
    for (path, expected) in [
        ("/a", Some("exact")),
        ("/a?x=1", Some("exact")),
        ("/ab", Some("either")),
        ("/b", Some("either")),
        ("/c", None),
    ] {
        assert_eq!(found(&service, path).as_deref(), expected, "{path}");
    }
}

#[test]
fn a_route_without_matches_takes_everything() {
    assert_eq!(
        found(&service(vec![route("all", vec![])]), "/x").as_deref(),
        Some("all")
    );
}

#[test]
fn choices_follow_the_weights() {
    let backends = |weights: &[u32]| -> Vec<Backend> {
        let unavailable = |weight: &u32| Backend {
            weight: *weight,
            target: Target::Unavailable(weight.to_string()),
            headers: Operations::default(),
        };
        weights.iter().map(unavailable).collect()
    };
    for (weights, expected) in [
        (vec![3, 1], vec![3, 3, 3, 1]),
        (vec![0, 2], vec![2, 2]),
        (vec![0], vec![0, 0]),
        (vec![1, 0, 2], vec![1, 2, 2]),
    ] {
        let backends = backends(&weights);
        let drawn: Vec<u32> = (0..expected.len() as u64)
            .map(|draw| choose(&backends, draw).unwrap().weight)
            .collect();
        assert_eq!(drawn, expected, "{weights:?}");
    }
    assert!(choose(&[], 0).is_none());
}

#[test]
fn a_service_that_leads_nowhere_is_refused() {
    let none = mesh::Service {
        host: "a".into(),
        port: 80,
        protocol: mesh::Protocol::Http.into(),
        ..Default::default()
    };
    assert!(Service::new(none, cluster).is_err());
    let port = mesh::Service {
        host: "a".into(),
        port: 70_000,
        ..Default::default()
    };
    assert!(Service::new(port, cluster).is_err());
}
