//! The time that requests and their tries have.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use outrigger_proxy::protocol::mesh::Retries;

use super::client::{empty, fed, full, http2, request, request2};
use super::retries::{on, rig};
use super::{client, server};

#[tokio::test]
async fn a_route_has_its_time() {
    let never = |_| std::future::pending();
    let rig = rig(&[server::http(never).await], |route| route.timeout_ms = 30).await;
    let answer = rig.client().await.get("/").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.body, "upstream request timeout");
    // The client's own limit is the first proxy's business.
    let asked = request(Method::GET, "/").header("x-envoy-upstream-rq-timeout-ms", "1");
    let answer = rig.client().await.ask(asked.body(empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    let mut client = http2(rig.proxy.outbound).await;
    let asked = request2(Method::POST, "/a.B/C")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "1H");
    let answer = client::answer(client.send_request(asked.body(empty()).unwrap()).await.unwrap()).await;
    assert_eq!(answer.headers["grpc-status"], "14");
}

#[tokio::test]
async fn a_grpc_deadline_is_kept_without_a_timeout_of_the_route() {
    let never = |_| std::future::pending();
    let rig = rig(&[server::http(never).await], |_| ()).await;
    let mut client = http2(rig.proxy.outbound).await;
    let asked = request2(Method::POST, "/a.B/C")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "20m");
    let answer = client::answer(client.send_request(asked.body(empty()).unwrap()).await.unwrap()).await;
    assert_eq!(answer.headers["grpc-message"], "upstream request timeout");
}

#[tokio::test]
async fn the_time_covers_the_response_to_its_end_and_begins_at_the_requests() {
    let (kept, mut senders) = tokio::sync::mpsc::unbounded_channel();
    let begins = move |request: Request<Incoming>| {
        let kept = kept.clone();
        async move {
            request.into_body().collect().await.unwrap();
            let (frames, body) = fed();
            frames.send(Frame::data(Bytes::from("begun"))).await.unwrap();
            kept.send(frames).unwrap();
            Response::new(body)
        }
    };
    let rig = rig(&[server::http(begins).await], |route| route.timeout_ms = 50).await;
    let (upload, body) = fed();
    let uploading = tokio::spawn(async move {
        for _ in 0..4 {
            // Longer than the route's time together, which has not begun yet.
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            upload.send(Frame::data(Bytes::from("x"))).await.unwrap();
        }
    });
    let mut client = rig.client().await;
    let mut response = client.send(request(Method::POST, "/").body(body).unwrap()).await;
    uploading.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let frame = response.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "begun");
    // The server would go on for ever.
    let _open = senders.recv().await.unwrap();
    assert!(response.frame().await.unwrap().is_err(), "it breaks off");
}

#[tokio::test]
async fn a_try_has_its_time_and_others_follow() {
    let slow = |_| std::future::pending();
    let retries = |words: &[&str]| {
        on(words, 1).map(|retries| Retries {
            per_try_timeout_ms: 30,
            ..retries
        })
    };
    let endpoints = [server::http(slow).await, server::named("fast").await];
    let again = rig(&endpoints, |route| route.retries = retries(&["5xx"])).await;
    assert_eq!(again.client().await.bodies(4).await, ["fast"; 4]);
    let once = rig(&endpoints[..1], |route| {
        route.retries = retries(&["connect-failure"])
    })
    .await;
    let answer = once.client().await.get("/").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.body, "upstream request timeout");
}

#[tokio::test]
async fn other_pods_are_told_how_long_it_may_take() {
    let expected = |request: Request<Incoming>| async move {
        let headers = request.headers();
        assert!(!headers.contains_key("x-envoy-upstream-rq-timeout-ms"));
        let expected = headers["x-envoy-expected-rq-timeout-ms"].to_str().unwrap();
        Response::new(full(expected.to_owned()))
    };
    let rig = rig(&[server::http(expected).await], |route| route.timeout_ms = 60_000).await;
    let told: u64 = rig.client().await.get("/").await.body.parse().unwrap();
    assert!((59_000..=60_000).contains(&told), "{told}");
    let asked = request(Method::GET, "/").header("x-envoy-upstream-rq-timeout-ms", "30000");
    let answer = rig.client().await.ask(asked.body(empty()).unwrap()).await;
    assert!(answer.body.parse::<u64>().unwrap() <= 30_000, "{answer:?}");
}
