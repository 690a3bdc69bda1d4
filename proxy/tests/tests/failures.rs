//! What a client does not notice, and what is never done for it: other pods that are gone, connections that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{fed, full, request};
use super::rig::{Rig, VIP};
use super::server::{self, read_until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_dead_endpoint_is_not_noticed() {
    let (_socket, dead) = server::dead();
    let rig = Rig::with(&[dead, server::named("v1").await]).await;
    let bodies = rig.client().await.bodies(50).await;
    assert!(bodies.iter().all(|body| body == "v1"));
}

#[tokio::test]
async fn when_every_endpoint_is_dead_the_answer_says_so() {
    let (_socket, dead) = server::dead();
    let rig = Rig::with(&[dead]).await;
    let answer = rig.client().await.get("/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains(&dead.to_string()), "{answer:?}");
}

#[tokio::test]
async fn a_pod_whose_application_no_longer_listens_is_not_noticed() {
    let (_socket, dead) = server::dead();
    let ending = Rig::towards(VIP.parse().unwrap(), Some(dead)).await;
    let ending = ending.proxy.inbound.unwrap();
    let rig = Rig::with(&[ending, server::named("v1").await]).await;
    assert_eq!(rig.client().await.bodies(20).await, ["v1"; 20]);

    let mut client = rig.client().await;
    for _ in 0..10 {
        // Nothing of it has reached an application, so that a body is no reason to fail.
        let post = request(Method::POST, "/").body(full("paid")).unwrap();
        assert_eq!(client.ask(post).await.body, "v1");
    }

    rig.endpoints("all", &[ending]).await;
    let answer = rig.client().await.get("/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let why = format!("{ending}: its application does not answer");
    assert!(answer.body.contains(&why), "{answer:?}");
    assert!(!answer.headers.contains_key("x-outrigger-not-delivered"));
}

/// A server that answers one request a connection and then closes it without having said that it would.
async fn closes_after_one(listener: TcpListener, reset: bool) {
    while let Ok((mut stream, _)) = listener.accept().await {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(OK).await.unwrap();
        if reset {
            // The next request is on its way when the connection is reset.
            let _ = stream.read_u8().await;
            SockRef::from(&stream)
                .set_linger(Some(std::time::Duration::ZERO))
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closes_is_not_noticed() {
    for reset in [false, true] {
        let (listener, address) = server::port().await;
        tokio::spawn(closes_after_one(listener, reset));
        let rig = Rig::with(&[address]).await;
        assert_eq!(rig.client().await.bodies(20).await, ["ok"; 20], "reset: {reset}");
    }
}

#[tokio::test]
async fn a_kept_connection_is_used_again() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..3 {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(OK).await.unwrap();
        }
    });
    for _ in 0..3 {
        assert_eq!(rig.client().await.bodies(1).await, ["ok"]);
    }
    serving.await.unwrap();
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = posts.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                while read_until(&mut stream, "\r\n\r\n").await.starts_with("GET") {
                    stream.write_all(OK).await.unwrap();
                }
                // A request with a body: it is read, and the connection breaks.
                counted.fetch_add(1, Ordering::SeqCst);
                read_until(&mut stream, "paid").await;
            });
        }
    });
    let mut client = rig.client().await;
    assert_eq!(client.bodies(1).await, ["ok"]);
    for sent in 1..=3 {
        let post = request(Method::POST, "/pay").body(full("paid")).unwrap();
        assert_eq!(client.ask(post).await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(posts.load(Ordering::SeqCst), sent);
        assert_eq!(client.bodies(1).await, ["ok"]);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "\r\n\r\n").await;
    drop(client);
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_for_the_client() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .await
            .unwrap();
    });
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut read = String::new();
    client.read_to_string(&mut read).await.unwrap();
    assert!(
        read.contains("content-length: 9") && read.ends_with("\r\n\r\nhalf"),
        "{read}"
    );
}

/// An answer may come before the request has ended: the connection is not free until it has.
#[tokio::test]
async fn an_upload_that_goes_on_after_its_answer_holds_nobody_up() {
    let (listener, address) = server::port().await;
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(OK).await.unwrap();
            open.push(stream);
        }
    });
    let rig = Rig::with(&[address]).await;
    let mut uploading = rig.client().await;
    let (frames, body) = fed();
    let upload = request(Method::POST, "/upload").body(body).unwrap();
    assert_eq!(uploading.ask(upload).await.body, "ok");
    assert_eq!(rig.client().await.bodies(1).await, ["ok"]);
    drop(frames);
}
