//! Which endpoint a request reaches.

use http::{Method, StatusCode};
use outrigger_proxy::protocol::mesh::string_match::Kind;

use super::client::{empty, request};
use super::published::{default_http, header, http, path, route, to, unavailable};
use super::rig::Rig;
use super::server;

#[tokio::test]
async fn requests_alternate_between_two_endpoints() {
    let rig = Rig::with(&[server::named("v1").await, server::named("v2").await]).await;
    let bodies = rig.client().await.bodies(6).await;
    assert!(bodies.windows(2).all(|pair| pair[0] != pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn every_connection_takes_part_in_the_turns() {
    let rig = Rig::with(&[server::named("v1").await, server::named("v2").await]).await;
    let mut bodies = Vec::new();
    for _ in 0..6 {
        bodies.extend(rig.client().await.bodies(1).await);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] != pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn weights_share_out_the_requests() {
    let rig = Rig::start().await;
    let split = route("split", vec![], vec![to("v1", 75), to("v2", 25), to("v3", 0)]);
    rig.service(&http(vec![split])).await;
    for name in ["v1", "v2", "v3"] {
        rig.endpoints(name, &[server::named(name).await]).await;
    }
    let bodies = rig.client().await.bodies(400).await;
    let count = |name: &str| bodies.iter().filter(|body| *body == name).count();
    // Six standard deviations on either side of 100.
    assert!((50..150).contains(&count("v2")), "{}", count("v2"));
    assert_eq!(count("v3"), 0);
}

#[tokio::test]
async fn a_header_chooses_the_route_and_the_default_takes_the_rest() {
    let rig = Rig::start().await;
    let jason = route("jason", vec![header("end-user", "jason")], vec![to("v2", 1)]);
    let default = route("default", vec![], vec![to("v1", 1)]);
    rig.service(&http(vec![jason, default])).await;
    for name in ["v1", "v2"] {
        rig.endpoints(name, &[server::named(name).await]).await;
    }
    let mut client = rig.client().await;
    for (user, expected) in [("jason", "v2"), ("ann", "v1"), ("jason", "v2")] {
        let request = request(Method::GET, "/").header("End-User", user);
        assert_eq!(client.ask(request.body(empty()).unwrap()).await.body, expected);
    }
}

#[tokio::test]
async fn a_request_that_no_route_matches_is_404() {
    let rig = Rig::start().await;
    let only = route("only", vec![path(Kind::Prefix("/api".into()))], vec![to("v1", 1)]);
    rig.service(&http(vec![only])).await;
    rig.endpoints("v1", &[server::named("v1").await]).await;
    let mut client = rig.client().await;
    assert_eq!(client.get("/api/a").await.status, StatusCode::OK);
    let answer = client.get("/other?x=1").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.body.contains("GET /other"), "{answer:?}");
}

#[tokio::test]
async fn a_missing_subset_is_503_and_named() {
    let rig = Rig::start().await;
    let why = "subset v3 of helloworld.default.svc.cluster.local is in no DestinationRule";
    let broken = route(
        "broken",
        vec![path(Kind::Exact("/v3".into()))],
        vec![unavailable(why)],
    );
    let default = route("default", vec![], vec![to("v1", 1)]);
    rig.service(&http(vec![broken, default])).await;
    rig.endpoints("v1", &[server::named("v1").await]).await;
    let mut client = rig.client().await;
    let answer = client.get("/v3").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains(why), "{answer:?}");
    assert_eq!(client.get("/").await.body, "v1");
}

#[tokio::test]
async fn no_ready_endpoint_is_503() {
    let rig = Rig::with(&[]).await;
    let mut client = rig.client().await;
    let answer = client.get("/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("all has no ready endpoint"), "{answer:?}");
    rig.endpoints("all", &[server::named("v1").await]).await;
    assert_eq!(client.get("/").await.body, "v1");
}

#[tokio::test]
async fn a_change_of_rules_reaches_an_open_connection() {
    let rig = Rig::start().await;
    rig.service(&default_http("v1")).await;
    for name in ["v1", "v2"] {
        rig.endpoints(name, &[server::named(name).await]).await;
    }
    let mut client = rig.client().await;
    assert_eq!(client.bodies(2).await, ["v1", "v1"]);
    rig.service(&default_http("v2")).await;
    assert_eq!(client.bodies(2).await, ["v2", "v2"]);
}
