//! Tries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use outrigger_proxy::protocol::mesh::{
    HttpRoute, Locality, LocalityPolicy, OutlierDetection, Retries, TrafficPolicy, Workload,
};
use outrigger_proxy::protocol::{ENDPOINTS, SELF, WORKLOAD};

use super::client::{Body, empty, fed, full, http2, request, request2};
use super::published::{http, route, to};
use super::rig::Rig;
use super::{client, published, server};

/// A rig with one route to these endpoints.
pub(crate) async fn rig(addresses: &[std::net::SocketAddr], change: impl FnOnce(&mut HttpRoute)) -> Rig {
    let rig = Rig::start().await;
    let mut one = route("one", vec![], vec![to("all", 1)]);
    change(&mut one);
    rig.service(&http(vec![one])).await;
    rig.endpoints("all", addresses).await;
    rig
}

pub(crate) fn on(words: &[&str], attempts: u32) -> Option<Retries> {
    Some(Retries {
        attempts,
        on: words.iter().map(ToString::to_string).collect(),
        statuses: vec![429],
        backoff_ms: 1,
        ..Default::default()
    })
}

/// A server that gives a refusal so many times, and then the request's body with its attempt. Counts requests.
async fn flaky(
    failures: usize,
    refusal: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    let address = server::http(move |request: Request<Incoming>| {
        let (number, refusal) = (counted.fetch_add(1, Ordering::SeqCst), refusal.clone());
        async move {
            if number < failures {
                return refusal();
            }
            let attempt = request.headers()["x-envoy-attempt-count"].clone();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Response::builder()
                .header("x-attempt", attempt)
                .body(full(body))
                .unwrap()
        }
    })
    .await;
    (address, count)
}

fn refusal(status: u16) -> impl Fn() -> Response<Body> + Clone + Send + Sync + 'static {
    move || Response::builder().status(status).body(full("no")).unwrap()
}

#[tokio::test]
async fn an_answer_is_tried_again_if_the_rule_says_so() {
    for (retries, refused, failures, expected) in [
        (on(&["5xx"], 3), 503, 2, (200, 3)),
        (on(&["5xx"], 1), 503, 2, (503, 2)),
        (on(&["gateway-error"], 3), 500, 1, (500, 1)),
        (on(&["retriable-status-codes"], 3), 429, 1, (200, 2)),
        (on(&["retriable-4xx"], 3), 409, 1, (200, 2)),
        (on(&["5xx"], 0), 503, 1, (503, 1)),
        (None, 503, 1, (503, 1)),
    ] {
        let (address, count) = flaky(failures, refusal(refused)).await;
        let case = format!("{retries:?} {refused} {failures}");
        let rig = rig(&[address], |route| route.retries = retries).await;
        let answer = rig.client().await.get("/").await;
        let came = count.load(Ordering::SeqCst);
        assert_eq!((answer.status.as_u16(), came), expected, "{case}");
        if answer.status == StatusCode::OK {
            assert_eq!(answer.headers["x-attempt"], came.to_string().as_str());
        }
    }
}

#[tokio::test]
async fn grpc_is_tried_again_by_its_status() {
    let unavailable = || {
        Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "14")
            .body(empty())
            .unwrap()
    };
    for (retries, expected) in [(on(&["unavailable"], 2), 2), (on(&["internal"], 2), 1), (None, 1)] {
        let (address, count) = flaky(1, unavailable).await;
        let rig = rig(&[address], |route| route.retries = retries.clone()).await;
        let mut client = http2(rig.proxy.outbound).await;
        let asked = request2(Method::POST, "/a.B/C").header("content-type", "application/grpc");
        let response = client.send_request(asked.body(full("message")).unwrap()).await;
        let answer = client::answer(response.unwrap()).await;
        assert_eq!(count.load(Ordering::SeqCst), expected, "{retries:?}");
        let body = if expected == 2 { "message" } else { "" };
        assert_eq!(answer.body, body, "{retries:?}");
    }
}

#[tokio::test]
async fn another_endpoint_comes_first() {
    let (bad, tried) = flaky(usize::MAX, refusal(503)).await;
    let rig = rig(&[bad, server::named("good").await], |route| {
        route.retries = on(&["5xx"], 1);
    })
    .await;
    assert_eq!(rig.client().await.bodies(20).await, ["good"; 20]);
    assert!(tried.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_body_is_sent_again_if_it_is_not_too_long() {
    for (length, expected) in [(10_usize, 200), (60 << 10, 200), (100 << 10, 503)] {
        let (address, _) = flaky(1, refusal(503)).await;
        let rig = rig(&[address], |route| route.retries = on(&["5xx"], 2)).await;
        let mut client = rig.client().await;
        let (frames, body) = fed();
        let feeding = tokio::spawn(async move {
            for _ in 0..10 {
                let frame = Frame::data(Bytes::from(vec![b'x'; length / 10]));
                // A server that has answered takes no more.
                if frames.send(frame).await.is_err() {
                    break;
                }
            }
        });
        let answer = client.ask(request(Method::POST, "/").body(body).unwrap()).await;
        feeding.await.unwrap();
        // A long one may also have its answer before it was too long.
        if length < 64 << 10 {
            assert_eq!(answer.status.as_u16(), expected, "{length}");
            assert_eq!(answer.body.len(), length / 10 * 10);
        } else {
            assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
        }
    }
}

/// Each row is what the client asks for, the status, and how often the server was asked.
#[tokio::test]
async fn a_client_may_ask_for_retries_itself() {
    let refusal = || {
        let response = Response::builder().status(418).header("x-busy", "1");
        response.body(full("no")).unwrap()
    };
    for (asks, expected) in [
        (vec![], (418, 1)),
        (vec![("retry-on", "5xx")], (418, 1)),
        (vec![("retry-on", "retriable-status-codes")], (418, 1)),
        (
            vec![
                ("retry-on", "retriable-status-codes"),
                ("retriable-status-codes", "404,418"),
            ],
            (200, 3),
        ),
        (
            vec![
                ("retry-on", "retriable-status-codes"),
                ("retriable-status-codes", "404,418"),
                ("max-retries", "1"),
            ],
            (418, 2),
        ),
        (vec![("retriable-status-codes", "404,418")], (418, 1)),
        (
            vec![
                ("retry-on", "5xx,retriable-headers"),
                ("retriable-header-names", "X-Other,X-Busy"),
            ],
            (200, 3),
        ),
        (vec![("retriable-header-names", "x-busy")], (418, 1)),
    ] {
        let (address, count) = flaky(2, refusal).await;
        let rig = rig(&[address], |_| ()).await;
        let mut asked = request(Method::GET, "/");
        for (name, value) in &asks {
            asked = asked.header(format!("x-envoy-{name}"), *value);
        }
        let answer = rig.client().await.ask(asked.body(empty()).unwrap()).await;
        let found = (answer.status.as_u16(), count.load(Ordering::SeqCst));
        assert_eq!(found, expected, "{asks:?}");
    }
}

/// Each row is whether retries may go far, and what is answered after how many tries near.
#[tokio::test]
async fn a_second_retry_may_leave_the_region() {
    let place = |region: &str| {
        Some(Locality {
            region: region.into(),
            ..Default::default()
        })
    };
    for (remote_localities, expected) in [(true, (200, 2)), (false, (503, 3))] {
        let (near, tried) = flaky(usize::MAX, refusal(503)).await;
        let far = server::named("far").await;
        let rig = rig(&[], |route| {
            route.retries = on(&["5xx"], 2).map(|retries| Retries {
                remote_localities,
                ..retries
            });
            route.backends[0].policy = Some(TrafficPolicy {
                locality: Some(LocalityPolicy::default()),
                outlier_detection: Some(OutlierDetection::default()),
                ..Default::default()
            });
        })
        .await;
        let workload = Workload {
            locality: place("eu"),
            ..Default::default()
        };
        rig.control_plane.publish(WORKLOAD, SELF, &workload).await;
        let mut endpoints = published::endpoints(&[near, far]);
        for (endpoint, region) in endpoints.endpoints.iter_mut().zip(["eu", "us"]) {
            endpoint.locality = place(region);
        }
        rig.control_plane.publish(ENDPOINTS, "all", &endpoints).await;
        let answer = rig.client().await.get("/").await;
        let found = (answer.status.as_u16(), tried.load(Ordering::SeqCst));
        assert_eq!(found, expected, "{remote_localities}");
    }
}
