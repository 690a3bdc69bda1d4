//! Copies of requests for mirrors.

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use outrigger_proxy::protocol::mesh::Mirror;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::client::{full, request};
use super::published::{http, route, to};
use super::rig::Rig;
use super::server;

async fn rig(millionths: u32, mirror: std::net::SocketAddr) -> Rig {
    let rig = Rig::start().await;
    let mut one = route("one", vec![], vec![to("all", 1)]);
    one.mirrors.push(Mirror {
        backend: Some(to("mirror", 1)),
        millionths,
    });
    rig.service(&http(vec![one])).await;
    let reads = |request: Request<Incoming>| async move {
        request.into_body().collect().await.unwrap();
        Response::new(full("v1"))
    };
    rig.endpoints("all", &[server::http(reads).await]).await;
    rig.endpoints("mirror", &[mirror]).await;
    rig
}

#[tokio::test]
async fn a_mirror_gets_the_request_under_a_shadows_name() {
    let (came, mut comes) = mpsc::unbounded_channel();
    let mirror = server::http(move |request: Request<Incoming>| {
        let came = came.clone();
        async move {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let path = request.uri().to_string();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            came.send((host, path, body)).unwrap();
            Response::builder().status(500).body(full("not heard")).unwrap()
        }
    })
    .await;
    let rig = rig(1_000_000, mirror).await;
    let mut client = rig.client().await;
    let body = "x".repeat(100_000);
    let posted = request(Method::POST, "/a?b").body(full(body.clone())).unwrap();
    assert_eq!(client.ask(posted).await.body, "v1");
    let (host, path, copied) = comes.recv().await.unwrap();
    assert_eq!((host.as_str(), path.as_str()), ("helloworld-shadow:5000", "/a?b"));
    assert!(copied == body, "{} bytes", copied.len());
    assert_eq!(client.get("/c").await.body, "v1");
    assert_eq!(comes.recv().await.unwrap().1, "/c");
}

#[tokio::test]
async fn a_mirror_that_never_answers_slows_nobody() {
    let (listener, mirror) = server::port().await;
    let rig = rig(1_000_000, mirror).await;
    let large = "x".repeat(1 << 20);
    let mut client = rig.client().await;
    for _ in 0..3 {
        let posted = request(Method::POST, "/").body(full(large.clone())).unwrap();
        assert_eq!(client.ask(posted).await.body, "v1");
    }
    drop(listener);
}

#[tokio::test]
async fn a_share_of_nothing_is_nothing() {
    let (listener, mirror) = server::port().await;
    let rig = rig(0, mirror).await;
    assert_eq!(rig.client().await.bodies(5).await, ["v1"; 5]);
    let came = futures::FutureExt::now_or_never(listener.accept());
    assert!(came.is_none());
}

/// Whatever it speaks then, no request is sent on that connection.
#[tokio::test]
async fn a_mirror_that_switches_protocols_is_not_asked_again_there() {
    let (listener, mirror) = server::port().await;
    let rig = rig(1_000_000, mirror).await;
    let mut client = rig.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.body, "v1");
        let (mut stream, _) = listener.accept().await.unwrap();
        server::read_until(&mut stream, "\r\n\r\n").await;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
}
