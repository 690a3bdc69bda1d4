//! The conversation with the control plane.

use outrigger_proxy::listen::OriginalDestination;
use outrigger_proxy::protocol::mesh::Workload;
use outrigger_proxy::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::control_plane::ControlPlane;
use super::published::{default_http, http, route};
use super::rig::{Proxy, Rig, VIP};
use super::server;

#[tokio::test]
async fn ready_once_the_control_plane_has_spoken() {
    let control_plane = ControlPlane::start().await;
    let proxy = Proxy::start(&control_plane, VIP.parse().unwrap(), None);
    let asked = control_plane.heard(|request| request.type_url == WORKLOAD).await;
    assert_eq!(asked.resource_names_subscribe, [SELF]);
    assert_eq!(asked.node.unwrap().id, "default/client");
    assert_eq!(proxy.readiness().await, 503);
    assert_eq!(
        control_plane.publish(WORKLOAD, SELF, &Workload::default()).await,
        None
    );
    assert_eq!(proxy.readiness().await, 200);
    control_plane.leave();
    assert_eq!(proxy.readiness().await, 200);
}

#[tokio::test]
async fn a_destination_is_asked_for_when_it_is_used() {
    let rig = Rig::with(&[server::named("v1").await]).await;
    rig.client().await.bodies(1).await;
    let service = rig
        .control_plane
        .heard(|request| request.type_url == SERVICE)
        .await;
    assert_eq!(service.resource_names_subscribe, [VIP]);
    let endpoints = rig
        .control_plane
        .heard(|request| request.type_url == ENDPOINTS)
        .await;
    assert_eq!(endpoints.resource_names_subscribe, ["all"]);
}

#[tokio::test]
async fn a_restart_of_the_control_plane_is_not_noticed() {
    let rig = Rig::with(&[server::named("v1").await]).await;
    let mut client = rig.client().await;
    client.bodies(2).await;
    // Everything has been acknowledged, so that the versions are known.
    rig.service(&default_http("all")).await;
    rig.control_plane.leave();
    client.bodies(5).await;
    assert_eq!(rig.client().await.bodies(5).await, ["v1"; 5]);
    rig.control_plane.come_back();
    for (kind, name) in [(WORKLOAD, SELF), (SERVICE, VIP), (ENDPOINTS, "all")] {
        let first = rig.control_plane.heard(|request| request.type_url == kind).await;
        assert_eq!(first.resource_names_subscribe, [name]);
        assert!(!first.initial_resource_versions[name].is_empty());
    }
    // What changes afterwards arrives.
    rig.endpoints("all", &[server::named("v2").await]).await;
    assert_eq!(client.bodies(2).await, ["v2"; 2]);
}

#[tokio::test]
async fn an_address_first_used_while_the_control_plane_is_away_is_learned_later() {
    let rig = Rig::start().await;
    rig.control_plane.leave();
    // Nothing can be reached there as it is: the connection ends.
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    rig.service(&default_http("all")).await;
    rig.endpoints("all", &[server::named("v1").await]).await;
    rig.control_plane.come_back();
    let asked = rig.control_plane.heard(|request| request.type_url == ENDPOINTS);
    assert_eq!(asked.await.resource_names_subscribe, ["all"]);
    assert_eq!(rig.client().await.bodies(1).await, ["v1"]);
    tokio::io::AsyncWriteExt::shutdown(&mut client).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_the_last_good_stays() {
    let rig = Rig::with(&[server::named("v1").await]).await;
    let mut client = rig.client().await;
    client.bodies(1).await;
    let nowhere = http(vec![route("VirtualService default/a http[0]", vec![], vec![])]);
    let refusal = rig.control_plane.publish(SERVICE, VIP, &nowhere).await.unwrap();
    assert_eq!(refusal.code, 3);
    for word in [VIP, "VirtualService default/a http[0]", "no backends"] {
        assert!(refusal.message.contains(word), "{refusal:?}");
    }
    assert_eq!(client.bodies(2).await, ["v1"; 2]);
    rig.service(&default_http("other")).await;
    rig.endpoints("other", &[server::named("v2").await]).await;
    assert_eq!(client.bodies(1).await, ["v2"]);
}

#[tokio::test]
async fn a_connection_that_nobody_redirected_is_refused() {
    let control_plane = ControlPlane::start().await;
    let proxy = Proxy::listening(
        &control_plane,
        &[OriginalDestination::Redirected],
        &[OriginalDestination::Redirected],
    );
    for address in [proxy.outbound, proxy.inbound.unwrap()] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or_default(), 0);
    }
}
