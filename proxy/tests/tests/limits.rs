//! What a connectionPool allows, and what happens to the rest.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Response, StatusCode};
use outrigger_proxy::protocol::mesh::{ConnectionPool, TrafficPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, http2, request2};
use super::published::{default_http, tcp, under};
use super::rig::Rig;
use super::server::{self, read_until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn limited(pool: ConnectionPool) -> TrafficPolicy {
    TrafficPolicy {
        connection_pool: Some(pool),
        ..Default::default()
    }
}

async fn rig(pool: ConnectionPool, address: SocketAddr) -> Rig {
    let rig = Rig::start().await;
    rig.service(&under(default_http("all"), limited(pool))).await;
    rig.endpoints("all", &[address]).await;
    rig
}

async fn metrics(rig: &Rig) -> String {
    Client::connect(rig.proxy.metrics)
        .await
        .get("/metrics")
        .await
        .body
}

#[tokio::test]
async fn a_request_too_many_is_refused_at_once() {
    let (listener, address) = server::port().await;
    let most = ConnectionPool {
        max_requests: 1,
        ..Default::default()
    };
    let rig = rig(most, address).await;
    let mut first = rig.client().await;
    let first = tokio::spawn(async move { first.get("/").await });
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "\r\n\r\n").await;
    let second = rig.client().await.get("/").await;
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.headers["x-envoy-overloaded"], "true");
    assert!(
        second.body.contains("http2MaxRequests of 1 is reached"),
        "{second:?}"
    );
    assert!(
        metrics(&rig)
            .await
            .contains("outrigger_overflows_total{limit=\"Requests\"} 1")
    );
    server.write_all(OK).await.unwrap();
    assert_eq!(first.await.unwrap().body, "ok");
    // And then there is room again.
    let third = tokio::spawn(async move { rig.client().await.get("/").await });
    let (mut other, _) = listener.accept().await.unwrap();
    tokio::select! {
        _ = read_until(&mut server, "\r\n\r\n") => server.write_all(OK).await.unwrap(),
        _ = read_until(&mut other, "\r\n\r\n") => other.write_all(OK).await.unwrap(),
    }
    assert_eq!(third.await.unwrap().body, "ok");
}

#[tokio::test]
async fn one_waits_for_the_connection_and_the_next_is_refused() {
    let (listener, address) = server::port().await;
    let most = ConnectionPool {
        max_connections: 1,
        max_pending_requests: 1,
        ..Default::default()
    };
    let rig = rig(most, address).await;
    let outbound = rig.proxy.outbound;
    let ask = || tokio::spawn(async move { Client::connect(outbound).await.get("/").await });
    let first = ask();
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "\r\n\r\n").await;
    // Of two more, one waits and the other is told that this is too many.
    let (mut second, mut third) = (ask(), ask());
    let refused = tokio::select! {
        answer = &mut second => { second = third; answer }
        answer = &mut third => answer,
    }
    .unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.body.contains("http1MaxPendingRequests of 1 is reached"),
        "{refused:?}"
    );
    // The one that waits gets the connection of the first.
    server.write_all(OK).await.unwrap();
    read_until(&mut server, "\r\n\r\n").await;
    server.write_all(OK).await.unwrap();
    for answer in [first, second] {
        assert_eq!(answer.await.unwrap().body, "ok");
    }
}

#[tokio::test]
async fn a_connection_has_so_many_requests_and_then_another_is_made() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (listener, address) = server::port().await;
    let connections = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            let connections = connections.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                    if read.ends_with(b"\r\n\r\n") {
                        read.clear();
                        connections.lock().unwrap().push(peer);
                        stream.write_all(OK).await.unwrap();
                    }
                }
            });
        }
    });
    let most = ConnectionPool {
        max_requests_per_connection: 2,
        ..Default::default()
    };
    let rig = rig(most, address).await;
    rig.client().await.bodies(6).await;
    let seen = seen.lock().unwrap();
    assert_eq!(
        (seen.len(), seen.iter().collect::<BTreeSet<_>>().len()),
        (6, 3),
        "{seen:?}"
    );
}

#[tokio::test]
async fn streams_of_http2_are_as_many_as_they_may_be() {
    let peers = Arc::new(Mutex::new(0));
    let (listener, address) = server::port().await;
    let counted = peers.clone();
    let (release, _) = tokio::sync::broadcast::channel::<()>(1);
    let released = release.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            let released = released.clone();
            let service = hyper::service::service_fn(move |_| {
                let mut wait = released.subscribe();
                async move {
                    let _ = wait.recv().await;
                    Ok::<_, std::convert::Infallible>(Response::new(super::client::full("ok")))
                }
            });
            let executor = hyper_util::rt::TokioExecutor::new();
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service));
        }
    });
    let most = ConnectionPool {
        max_concurrent_streams: 2,
        ..Default::default()
    };
    let rig = rig(most, address).await;
    let client = http2(rig.proxy.outbound).await;
    let asked: Vec<_> = (0..5)
        .map(|_| {
            let mut client = client.clone();
            let request = request2(http::Method::GET, "/")
                .body(super::client::empty())
                .unwrap();
            tokio::spawn(async move { client.send_request(request).await.unwrap().status() })
        })
        .collect();
    while release.receiver_count() < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*peers.lock().unwrap(), 3);
    release.send(()).unwrap();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_connection_too_many_is_closed() {
    let (listener, address) = server::port().await;
    let most = ConnectionPool {
        max_connections: 1,
        ..Default::default()
    };
    let rig = Rig::start().await;
    rig.service(&under(tcp("all"), limited(most))).await;
    rig.endpoints("all", &[address]).await;
    let mut first = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut second = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0);
    first.write_all(b"hello\n").await.unwrap();
    read_until(&mut server, "hello\n").await;
}

#[tokio::test]
async fn a_silent_or_an_old_connection_is_closed() {
    for pool in [
        ConnectionPool {
            tcp_idle_timeout_ms: 50,
            ..Default::default()
        },
        ConnectionPool {
            max_connection_duration_ms: 50,
            ..Default::default()
        },
    ] {
        let (listener, address) = server::port().await;
        let rig = Rig::start().await;
        rig.service(&under(tcp("all"), limited(pool))).await;
        rig.endpoints("all", &[address]).await;
        let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
        client.write_all(b"hello\n").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        read_until(&mut server, "hello\n").await;
        // Nobody says anything, and both sides hear the end.
        assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0, "{pool:?}");
        assert_eq!(server.read(&mut [0; 8]).await.unwrap_or(0), 0, "{pool:?}");
    }
}
