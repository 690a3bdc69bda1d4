//! An endpoint that fails is left alone for some time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Response, StatusCode};
use outrigger_proxy::protocol::mesh::{OutlierDetection, TrafficPolicy};

use super::client::{Client, full};
use super::published::{default_http, under};
use super::rig::Rig;
use super::server;

fn detecting(base_ejection_ms: u32) -> TrafficPolicy {
    TrafficPolicy {
        outlier_detection: Some(OutlierDetection {
            consecutive_5xx: 2,
            interval_ms: 10_000,
            base_ejection_ms,
            max_ejection_percent: 100,
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_endpoint_that_answers_500_is_ejected_and_recovers() {
    let ill = Arc::new(AtomicBool::new(true));
    let state = ill.clone();
    let sometimes = server::http(move |_| {
        let mut response = Response::new(full("v1"));
        if state.load(Ordering::SeqCst) {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        async { response }
    })
    .await;
    let rig = Rig::start().await;
    rig.service(&under(default_http("all"), detecting(100))).await;
    rig.endpoints("all", &[sometimes, server::named("v2").await])
        .await;
    let mut client = rig.client().await;
    let mut failed = 0;
    // Two answers of 500, one after another from that endpoint.
    while failed < 2 {
        failed += usize::from(client.get("/").await.status == StatusCode::INTERNAL_SERVER_ERROR);
    }
    ill.store(false, Ordering::SeqCst);
    assert_eq!(client.bodies(6).await, ["v2"; 6]);
    let metrics = Client::connect(rig.proxy.metrics)
        .await
        .get("/metrics")
        .await
        .body;
    let ejected = "outrigger_endpoint_ejections_total{reason=\"Consecutive5xxErrors\"} 1";
    assert!(metrics.contains(ejected), "{metrics}");
    let back = async { while client.bodies(1).await[0] != "v1" {} };
    tokio::time::timeout(Duration::from_secs(10), back).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_tried_no_more() {
    let (_socket, dead) = server::dead();
    let rig = Rig::start().await;
    rig.service(&under(default_http("all"), detecting(60_000))).await;
    rig.endpoints("all", &[dead, server::named("v2").await]).await;
    assert_eq!(rig.client().await.bodies(20).await, ["v2"; 20]);
    let dump = rig.proxy.mesh.dump().to_string();
    let ejected = format!("{{\"address\":\"{dead}\",\"inFlight\":0,\"ejected\":true}}");
    assert!(dump.contains(&ejected), "{dump}");
}
