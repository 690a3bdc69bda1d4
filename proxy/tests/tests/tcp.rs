//! Opaque bytes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::control_plane::ControlPlane;
use super::published::{tcp, undeclared};
use super::rig::{Proxy, Rig};
use super::server::{self, read_until};

#[tokio::test]
async fn a_client_that_has_finished_writing_still_gets_its_answer() {
    let (listener, address) = server::port().await;
    let rig = Rig::start().await;
    rig.service(&tcp("all")).await;
    rig.endpoints("all", &[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    client.write_all(b"all of it").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut read = String::new();
    server.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "all of it");
    server.write_all(b"the answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "the answer");
}

#[tokio::test]
async fn a_server_that_has_finished_writing_still_hears_the_client() {
    let (listener, address) = server::port().await;
    let rig = Rig::start().await;
    rig.service(&tcp("all")).await;
    rig.endpoints("all", &[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    client.write_all(b"hello\n").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "hello\n").await;
    server.write_all(b"bye").await.unwrap();
    server.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "bye");
    client.write_all(b"one more thing").await.unwrap();
    drop(client);
    let mut rest = String::new();
    server.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "one more thing");
}

#[tokio::test]
async fn a_server_may_speak_first_on_a_port_that_nobody_declared() {
    let (listener, address) = server::port().await;
    let rig = Rig::start().await;
    rig.service(&undeclared("all")).await;
    rig.endpoints("all", &[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    server.write_all(b"220 mail.example\r\n").await.unwrap();
    read_until(&mut client, "220 mail.example\r\n").await;
    client.write_all(b"QUIT\r\n").await.unwrap();
    read_until(&mut server, "QUIT\r\n").await;
}

#[tokio::test]
async fn http_is_found_on_a_port_that_nobody_declared() {
    let rig = Rig::start().await;
    rig.service(&undeclared("all")).await;
    rig.endpoints("all", &[server::named("v1").await, server::named("v2").await])
        .await;
    let bodies = rig.client().await.bodies(4).await;
    assert!(bodies.windows(2).all(|pair| pair[0] != pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn a_dead_endpoint_is_not_noticed() {
    let (listener, address) = server::port().await;
    let (_socket, dead) = server::dead();
    let rig = Rig::start().await;
    rig.service(&tcp("all")).await;
    rig.endpoints("all", &[dead, address]).await;
    for _ in 0..4 {
        let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
        client.write_all(b"hello\n").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        read_until(&mut server, "hello\n").await;
    }
}

#[tokio::test]
async fn an_address_that_the_mesh_does_not_know_is_reached_as_it_is() {
    let rig = Rig::towards(server::named("outside").await, None).await;
    assert_eq!(rig.client().await.bodies(2).await, ["outside", "outside"]);
}

#[tokio::test]
async fn a_new_address_is_reached_as_it_is_while_the_control_plane_is_away() {
    let control_plane = ControlPlane::start().await;
    control_plane.leave();
    let proxy = Proxy::start(&control_plane, server::named("outside").await, None);
    let mut client = super::client::Client::connect(proxy.outbound).await;
    assert_eq!(client.bodies(1).await, ["outside"]);
}

#[tokio::test]
async fn what_was_learned_stays_in_use_while_the_control_plane_is_away() {
    let rig = Rig::with(&[server::named("v1").await]).await;
    assert_eq!(rig.client().await.bodies(1).await, ["v1"]);
    rig.control_plane.leave();
    for _ in 0..3 {
        assert_eq!(rig.client().await.bodies(1).await, ["v1"]);
    }
}
