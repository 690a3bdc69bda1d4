//! The end of a proxy: what is under way ends well, and nothing new is begun.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::client::{Body, answer, empty, full, http2, request, request2};
use super::rig::Rig;
use super::server::{self, read_until};

/// A server whose answers wait for a word; the channel tells when a request has come.
struct Slow {
    rig: Rig,
    comes: mpsc::UnboundedReceiver<()>,
    go: Arc<Notify>,
}

impl Slow {
    async fn start() -> Self {
        let (came, comes) = mpsc::unbounded_channel();
        let go = Arc::new(Notify::new());
        let word = go.clone();
        let slow = move |request: Request<Incoming>| {
            let (came, word) = (came.clone(), word.clone());
            async move {
                if request.uri().path() == "/slow" {
                    came.send(()).unwrap();
                    word.notified().await;
                }
                Response::<Body>::new(full("done"))
            }
        };
        let rig = Rig::with(&[server::http(slow).await]).await;
        Self { rig, comes, go }
    }
}

#[tokio::test]
async fn a_request_under_way_is_answered_and_its_connection_closed() {
    let Slow { rig, mut comes, go } = Slow::start().await;
    assert_eq!(rig.proxy.readiness().await, 200);
    let mut client = rig.client().await;
    let mut kept = rig.client().await;
    kept.bodies(1).await;
    let asking = tokio::spawn(async move {
        let answer = client.get("/slow").await;
        client.closed().await;
        answer
    });
    comes.recv().await.unwrap();
    rig.proxy.terminate();
    while rig.proxy.readiness().await != 503 {
        tokio::task::yield_now().await;
    }
    // New requests and connections are still served, and told to go.
    let other = kept.get("/").await;
    assert_eq!(
        (other.status, &other.headers["connection"]),
        (StatusCode::OK, &"close".parse().unwrap())
    );
    assert_eq!(rig.client().await.bodies(1).await, ["done"]);
    assert!(rig.proxy.is_running());
    go.notify_waiters();
    let answer = asking.await.unwrap();
    assert_eq!(
        (answer.body.as_str(), &answer.headers["connection"]),
        ("done", &"close".parse().unwrap())
    );
    rig.proxy.ended().await;
}

/// Opens HTTP/2 by hand and reads frames until a GOAWAY (RFC 9113, sections 3.4, 4.1 and 6.8).
async fn told_to_go_away(mut stream: TcpStream) {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(SETTINGS).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == 7 {
            return;
        }
    }
}

#[tokio::test]
async fn http2_is_told_to_go_away_and_its_streams_end() {
    let Slow { rig, mut comes, go } = Slow::start().await;
    let idle = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let mut client = http2(rig.proxy.outbound).await;
    let asking = tokio::spawn(client.send_request(request2(Method::GET, "/slow").body(empty()).unwrap()));
    comes.recv().await.unwrap();
    rig.proxy.terminate();
    told_to_go_away(idle).await;
    // The same has been said to the other; a new stream is refused, the one under way goes on.
    let another = || request2(Method::GET, "/").body(empty()).unwrap();
    while client.send_request(another()).await.is_ok() {}
    assert!(rig.proxy.is_running());
    go.notify_waiters();
    assert_eq!(answer(asking.await.unwrap().unwrap()).await.body, "done");
    rig.proxy.ended().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_while() {
    let rig = Rig::with(&[server::named("v1").await]).await;
    let mut client = rig.client().await;
    client.bodies(1).await;
    let unused = rig.client().await;
    rig.proxy.terminate();
    client.closed().await;
    unused.closed().await;
    rig.proxy.ended().await;
}

#[tokio::test]
async fn an_upgraded_connection_is_waited_for() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "\r\n\r\n").await;
    server
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi")
        .await
        .unwrap();
    read_until(&mut client, "hi").await;
    rig.proxy.terminate();
    while rig.proxy.readiness().await != 503 {
        tokio::task::yield_now().await;
    }
    assert!(rig.proxy.is_running());
    server.write_all(b"still here").await.unwrap();
    read_until(&mut client, "still here").await;
    drop(server);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    drop(client);
    rig.proxy.ended().await;
}

#[tokio::test]
async fn the_application_of_the_pod_is_reached_and_waited_for() {
    let application = server::named("application").await;
    let rig = Rig::towards(super::rig::VIP.parse().unwrap(), Some(application)).await;
    let mut client = super::client::Client::connect(rig.proxy.inbound.unwrap()).await;
    assert_eq!(client.bodies(2).await, ["application"; 2]);
    rig.proxy.terminate();
    while rig.proxy.readiness().await != 503 {
        tokio::task::yield_now().await;
    }
    let answer = client.ask(request(Method::GET, "/").body(empty()).unwrap()).await;
    assert_eq!(answer.headers["connection"], "close");
    client.closed().await;
    rig.proxy.ended().await;
}
