//! HTTP/1 in its details.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Body, answer, empty, fed, full, request};
use super::rig::Rig;
use super::server::{self, read_until};

/// Answers with the request's body.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let body = request.into_body().collect().await.unwrap();
    Response::new(full(body.to_bytes()))
}

/// Sends bytes on a connection of its own and gives everything that comes back until its end.
async fn exchange(rig: &Rig, sent: &str) -> String {
    let mut stream = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut read = String::new();
    stream.read_to_string(&mut read).await.unwrap();
    read
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body() {
    let rig = Rig::with(&[server::http(echo).await]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(
        read_until(&mut client, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.write_all(b"body").await.unwrap();
    let mut read = String::new();
    client.read_to_string(&mut read).await.unwrap();
    assert!(
        read.starts_with("HTTP/1.1 200") && read.ends_with("\r\n\r\nbody"),
        "{read}"
    );
}

#[tokio::test]
async fn chunked_bodies_keep_their_trailers() {
    let trailed = |request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let (frames, answer) = fed();
        tokio::spawn(async move {
            frames.send(Frame::data(body.to_bytes())).await.unwrap();
            frames.send(Frame::trailers(trailers)).await.unwrap();
        });
        Response::builder()
            .header("trailer", "x-sum")
            .body(answer)
            .unwrap()
    };
    let rig = Rig::with(&[server::http(trailed).await]).await;
    let (frames, body) = fed();
    let asked = request(Method::POST, "/")
        .header("te", "trailers")
        .header("trailer", "x-sum");
    tokio::spawn(async move {
        frames.send(Frame::data(Bytes::from("data"))).await.unwrap();
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
        frames.send(Frame::trailers(trailers)).await.unwrap();
    });
    let answer = rig.client().await.ask(asked.body(body).unwrap()).await;
    assert_eq!(answer.body, "data");
    assert_eq!(answer.trailers.unwrap()["x-sum"], "42");
}

#[tokio::test]
async fn bodies_arrive_whatever_the_method_and_the_framing() {
    let rig = Rig::with(&[server::http(echo).await]).await;
    for method in ["GET", "POST", "DELETE", "SEARCH"] {
        for (framing, body) in [
            ("content-length: 4", "body"),
            ("transfer-encoding: chunked", "4\r\nbody\r\n0\r\n\r\n"),
        ] {
            let sent =
                format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{framing}\r\n\r\n{body}");
            let read = exchange(&rig, &sent).await;
            assert!(read.ends_with("\r\n\r\nbody"), "{sent}: {read}");
        }
    }
}

#[tokio::test]
async fn answers_without_a_body_keep_their_headers_and_the_connection() {
    let bodiless = |request: Request<Incoming>| async move {
        let response = Response::builder();
        match request.uri().path() {
            "/204" => response.status(204).body(empty()),
            "/304" => response.status(304).header("etag", "\"a\"").body(empty()),
            _ => response.header("content-length", "1234").body(empty()),
        }
        .unwrap()
    };
    let rig = Rig::with(&[server::http(bodiless).await]).await;
    let mut client = rig.client().await;
    for _ in 0..2 {
        let head = client
            .ask(request(Method::HEAD, "/").body(empty()).unwrap())
            .await;
        assert_eq!(
            (head.status, &head.headers["content-length"]),
            (StatusCode::OK, &"1234".parse().unwrap())
        );
        assert_eq!(client.get("/204").await.status, StatusCode::NO_CONTENT);
        let cached = client.get("/304").await;
        assert_eq!(
            (cached.status, &cached.headers["etag"]),
            (StatusCode::NOT_MODIFIED, &"\"a\"".parse().unwrap())
        );
    }
}

/// RFC 9110, section 8.6: the length that the answer would have had.
#[tokio::test]
async fn not_modified_may_state_a_length() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        loop {
            read_until(&mut stream, "\r\n\r\n").await;
            stream
                .write_all(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\n\r\n")
                .await
                .unwrap();
        }
    });
    let mut client = rig.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.status, StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn a_target_in_absolute_form_is_routed_by_its_path() {
    let rig =
        Rig::with(&[server::http(
            |request| async move { Response::new(full(request.uri().path().to_owned())) },
        )
        .await])
        .await;
    let sent = "GET http://helloworld:5000/a HTTP/1.1\r\nhost: helloworld:5000\r\nconnection: close\r\n\r\n";
    let read = exchange(&rig, sent).await;
    assert!(read.ends_with("\r\n\r\n/a"), "{read}");
}

#[tokio::test]
async fn http_1_0_is_answered_in_its_terms() {
    let rig = Rig::with(&[server::http(echo).await]).await;
    let read = exchange(&rig, "POST / HTTP/1.0\r\ncontent-length: 4\r\n\r\nbody").await;
    assert!(
        read.starts_with("HTTP/1.0 200") && read.ends_with("\r\n\r\nbody"),
        "{read}"
    );
    assert!(!read.contains("chunked"), "{read}");
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let rig = Rig::with(&[server::named("v1").await]).await;
    let huge = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x-many: 1\r\n".repeat(200));
    for (sent, status) in [("nonsense\r\n\r\n", "400"), (huge.as_str(), "431")] {
        let read = exchange(&rig, sent).await;
        assert!(read.starts_with(&format!("HTTP/1.1 {status}")), "{read}");
    }
}

/// Nothing piles up in between: while the reader does not read, the writer cannot write.
#[tokio::test]
async fn a_large_body_streams_at_the_speed_of_its_reader() {
    const FRAME: usize = 64 << 10;
    const FRAMES: usize = 1024;
    // What the sockets' buffers may hold, of which the proxy's own is 32 MiB by Linux' default; below the whole.
    const MOST: usize = 48 << 20;
    let (listener, address) = server::port().await;
    SockRef::from(&listener).set_recv_buffer_size(FRAME).unwrap();
    let rig = Rig::with(&[address]).await;
    let (frames, body) = fed();
    let mut client = rig.client().await;
    let asking = tokio::spawn(async move {
        let asked = request(Method::POST, "/").header("content-length", FRAME * FRAMES);
        answer(client.send(asked.body(body).unwrap()).await).await
    });
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "\r\n\r\n").await;
    let frame = Bytes::from(vec![b'x'; FRAME]);
    let mut written = 0;
    // The pause is no condition: whoever waits longer only writes no more.
    while let Ok(sent) = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        frames.send(Frame::data(frame.clone())),
    )
    .await
    {
        sent.unwrap();
        written += 1;
    }
    assert!(
        written * FRAME < MOST,
        "{written} frames were taken of a body that nobody reads"
    );
    let writing = tokio::spawn(async move {
        for _ in written..FRAMES {
            frames.send(Frame::data(frame.clone())).await.unwrap();
        }
    });
    let mut left = FRAME * FRAMES;
    let mut buffer = vec![0; FRAME];
    while left > 0 {
        let most = left.min(FRAME);
        let count = server.read(&mut buffer[..most]).await.unwrap();
        assert!(count > 0, "{left} bytes are missing");
        left -= count;
    }
    writing.await.unwrap();
    server
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        .await
        .unwrap();
    assert_eq!(asking.await.unwrap().body, "done");
}
