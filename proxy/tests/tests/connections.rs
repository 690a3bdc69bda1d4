//! Connections of HTTP/1.1, whose sides come, go and speak when they like.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::rig::Rig;
use super::server::{self, asked, read_until, says};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Waits for the other side's end; everything before it is thrown away.
async fn ends(stream: &mut TcpStream) {
    let mut bytes = [0; 64];
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn a_client_that_leaves_a_silent_stream_is_noticed() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    says(
        &mut server,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
    )
    .await;
    read_until(&mut client, "1\r\na\r\n").await;
    drop(client);
    ends(&mut server).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_noticed() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    drop(client);
    ends(&mut server).await;
}

/// The answer has no body, and is here before the request's.
#[tokio::test]
async fn an_upload_goes_on_behind_its_answer() {
    const LENGTH: usize = 4 << 20;
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let post = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LENGTH}\r\n\r\n");
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, &post).await;
    for status in ["204 No Content", "200 OK\r\ncontent-length: 0"] {
        says(&mut server, &format!("HTTP/1.1 {status}\r\n\r\n")).await;
        let head = read_until(&mut client, "\r\n\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {}", &status[..3])), "{head}");
        let body = vec![b'x'; LENGTH];
        let mut read = vec![0; LENGTH];
        let (wrote, came) = tokio::join!(client.write_all(&body), server.read_exact(&mut read));
        wrote.unwrap();
        came.unwrap();
        assert!(read == body);
        // And then the next, on the same connections.
        says(&mut client, &post).await;
        read_until(&mut server, "\r\n\r\n").await;
    }
}

#[tokio::test]
async fn both_sides_speak_at_once() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, post).await;
    for _ in 0..2 {
        says(
            &mut server,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        )
        .await;
        read_until(&mut client, "\r\n\r\n").await;
        for chunk in ["1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"] {
            says(&mut client, chunk).await;
            read_until(&mut server, chunk).await;
            says(&mut server, chunk).await;
            read_until(&mut client, chunk).await;
        }
        says(&mut client, post).await;
        read_until(&mut server, "\r\n\r\n").await;
    }
}

/// What a client said before it was refused, and what it was told, are not lost with the connection.
#[tokio::test]
async fn the_last_answer_arrives() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
    says(&mut server, OK).await;
    read_until(&mut client, "ok").await;
    says(
        &mut client,
        "GET / HTTP/1.1\r\nhost: a\r\nx\0: 1\r\n\r\nmore that nobody reads",
    )
    .await;
    let answer = read_until(&mut client, "header name\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    ends(&mut client).await;
}

#[tokio::test]
async fn a_drain_waits_for_no_half_of_a_head() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let mut clients = Vec::new();
    for rest in ["GE", "\r\n", ""] {
        let (mut client, mut server) = asked(rig.proxy.outbound, &listener, GET).await;
        says(&mut server, OK).await;
        read_until(&mut client, "ok").await;
        says(&mut client, rest).await;
        clients.push(client);
    }
    let mut begun = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    says(&mut begun, "PRI * HTT").await;
    clients.push(begun);
    rig.proxy.terminate();
    for client in &mut clients {
        ends(client).await;
    }
    rig.proxy.ended().await;
}
