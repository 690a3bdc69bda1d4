//! Connections that become something else: WebSocket, tunnels.

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{empty, full, request};
use super::rig::Rig;
use super::server::{self, read_until};

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let asked = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";
    client.write_all(asked.as_bytes()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let head = read_until(&mut server, "\r\n\r\n").await.to_ascii_lowercase();
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-key: k",
    ] {
        assert!(head.contains(line), "{head}");
    }
    // The first bytes of the new protocol come together with the agreement to it.
    server
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello",
        )
        .await
        .unwrap();
    let head = read_until(&mut client, "hello").await;
    assert!(
        head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket"),
        "{head}"
    );
    client.write_all(b"to the server").await.unwrap();
    read_until(&mut server, "to the server").await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    server.write_all(b"and back").await.unwrap();
    drop(server);
    read_until(&mut client, "and back").await;
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_upgrade_is_a_plain_answer() {
    let rig = Rig::with(&[server::named("v1").await]).await;
    let asked = request(Method::GET, "/")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let mut client = rig.client().await;
    assert_eq!(client.ask(asked.body(empty()).unwrap()).await.body, "v1");
    assert_eq!(client.bodies(1).await, ["v1"]);
}

#[tokio::test]
async fn a_tunnel_carries_bytes_once_the_application_has_agreed() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let asked = "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n";
    client.write_all(asked.as_bytes()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let head = read_until(&mut server, "\r\n\r\n").await;
    assert!(head.starts_with("CONNECT a.example:443 HTTP/1.1\r\n"), "{head}");
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await.unwrap();
    let head = read_until(&mut client, "hello").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        !head.contains("content-length") && !head.contains("transfer-encoding"),
        "{head}"
    );
    client.write_all(b"to the server").await.unwrap();
    read_until(&mut server, "to the server").await;
    server.write_all(b"and back").await.unwrap();
    read_until(&mut client, "and back").await;
}

#[tokio::test]
async fn a_tunnel_that_the_application_refuses_is_a_plain_answer() {
    let refuses = |request: Request<Incoming>| async move {
        let refused = request.method() == Method::CONNECT;
        let status = if refused {
            StatusCode::FORBIDDEN
        } else {
            StatusCode::OK
        };
        Response::builder().status(status).body(full("v1")).unwrap()
    };
    let rig = Rig::with(&[server::http(refuses).await]).await;
    let mut client = rig.client().await;
    let asked = Request::builder().method(Method::CONNECT).uri("a:443");
    let asked = asked.header("host", "a:443").body(empty()).unwrap();
    assert_eq!(client.ask(asked).await.status, StatusCode::FORBIDDEN);
    assert_eq!(client.bodies(1).await, ["v1"]);
}
