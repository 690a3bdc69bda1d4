//! What clients may write on a connection, byte by byte, and what of it reaches an application.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Body, answer, empty, fed, full, http2, request, request2};
use super::rig::Rig;
use super::server::{self, read_until};

/// What an application saw: "METHOD TARGET HOST BODY" of each request.
type Seen = Arc<Mutex<Vec<String>>>;

/// What it sees of the request that ends a connection.
const END: &str = "GET /end a";

/// An application that notes what it sees, and a rig with it.
async fn rig() -> (Rig, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let note = move |request: Request<Incoming>| {
        let noted = noted.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let host = parts.headers.get("host").map(|host| host.to_str().unwrap());
            let host = host.or(parts.uri.authority().map(|authority| authority.as_str()));
            let (target, body) = (
                parts.uri.path_and_query().unwrap(),
                String::from_utf8_lossy(&body),
            );
            let line = format!("{} {target} {} {body}", parts.method, host.unwrap_or("-"));
            noted.lock().unwrap().push(line.trim_end().to_owned());
            Response::new(full("ok"))
        }
    };
    (Rig::with(&[server::http(note).await]).await, seen)
}

/// Sends bytes on a connection of its own, and then a request for its end; gives the statuses of what comes back.
async fn statuses(rig: &Rig, sent: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let end = "GET /end HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let sent = format!("{sent}{end}");
    // A proxy that has refused the head may not have read the rest.
    let _ = stream.write_all(sent.as_bytes()).await;
    let mut read = String::new();
    let _ = stream.read_to_string(&mut read).await;
    let statuses = read.split("HTTP/1.").skip(1);
    statuses.map(|answer| answer[2..5].to_owned()).collect()
}

/// Each row is what a client sends, what it gets, and what the application sees; where the connection stays, one more.
#[tokio::test]
async fn requests_that_can_be_read_in_two_ways() {
    let chunked = "transfer-encoding: chunked\r\n";
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(100 << 10)
    );
    for (sent, expected, reaches) in [
        // Two lengths: RFC 9112, section 6.3.
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(), vec!["400"], vec![]),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 2\r\n\r\nab".into(), vec!["400"], vec![]),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\na".into(), vec!["400"], vec![]),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n".into(), vec!["400"], vec![]),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n".into(), vec!["400"], vec![]),
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(), vec!["400"], vec![]),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n".into(), vec!["400"], vec![]),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n".into(), vec!["400"], vec![]),
        // A length beside chunks, whichever is first, on a connection that has carried others before; and what is only a
        // body.
        (
            format!("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n{chunked}\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n"),
            vec!["400"],
            vec![],
        ),
        (
            format!("POST /a HTTP/1.1\r\nhost: a\r\n{chunked}content-length: 5\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n"),
            vec!["400"],
            vec![],
        ),
        (
            format!("POST /1 HTTP/1.1\r\nhost: a\r\n{chunked}\r\n1\r\nx\r\n0\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\n{chunked}content-length: 5\r\n\r\n"),
            vec!["200", "400"],
            vec!["POST /1 a x"],
        ),
        (
            format!("POST /1 HTTP/1.1\r\nhost: a\r\n{chunked}\r\n30\r\nPOST / HTTP/1.1\ncontent-length: 1\n{}\n\r\n0\r\n\r\n", "x".repeat(13)),
            vec!["200", "200"],
            vec!["POST /1 a POST / HTTP/1.1\ncontent-length: 1\nxxxxxxxxxxxxx", END],
        ),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{chunked}\r\n-1\r\nx\r\n0\r\n\r\n"), vec!["400"], vec![]),
        // Hosts: RFC 9112, section 3.2.
        ("GET / HTTP/1.1\r\n\r\n".into(), vec!["400"], vec![]),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".into(), vec!["400"], vec![]),
        ("GET http://b:80/x HTTP/1.1\r\nhost: a\r\n\r\n".into(), vec!["200", "200"], vec!["GET /x b:80", END]),
        ("GET http://b HTTP/1.1\r\nhost: a\r\n\r\n".into(), vec!["200", "200"], vec!["GET / b", END]),
        // Lines.
        ("GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n".into(), vec!["400"], vec![]),
        ("GET / HTTP/1.1\r\nhost: a\r\nx\0: 1\r\n\r\n".into(), vec!["400"], vec![]),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n".into(), vec!["400"], vec![]),
        ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n".into(), vec!["400"], vec![]),
        (large, vec!["431"], vec![]),
        // A switch to HTTP/2 is answered in HTTP/1.1, as RFC 7540, section 3.2, allows.
        (
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n".into(),
            vec!["200", "200"],
            vec!["GET / a", END],
        ),
        // One after another on one connection.
        (
            "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nxGET /3 HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            vec!["200", "200", "200", "200"],
            vec!["GET /1 a", "POST /2 a x", "GET /3 a", END],
        ),
    ] {
        let (rig, seen) = rig().await;
        let shown = &sent[..sent.len().min(200)];
        assert_eq!(statuses(&rig, &sent).await, expected, "{shown}");
        assert_eq!(*seen.lock().unwrap(), reaches, "{shown}");
    }
}

#[tokio::test]
async fn a_head_is_forwarded_as_it_was_written() {
    let (listener, address) = server::port().await;
    let rig = Rig::with(&[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let sent = "GET /a%2Fb/%7e//./c?d=%20&e;f HTTP/1.1\r\nHost: a\r\nX-CaMeL: One\r\nX-CaMeL: Two\r\nx-low: \u{e9}\r\n\r\n";
    client.write_all(sent.as_bytes()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let head = read_until(&mut server, "\r\n\r\n").await;
    assert!(
        head.starts_with("GET /a%2Fb/%7e//./c?d=%20&e;f HTTP/1.1\r\nHost: a\r\n"),
        "{head}"
    );
    for line in ["X-CaMeL: One\r\nX-CaMeL: Two\r\n", "x-low: \u{e9}\r\n"] {
        assert!(head.contains(line), "{head}");
    }
}

#[tokio::test]
async fn an_authority_beats_a_host_and_too_many_headers_are_431() {
    let (rig, seen) = rig().await;
    let mut client = http2(rig.proxy.outbound).await;
    let asked = request2(Method::GET, "/a")
        .header("host", "other")
        .body(empty())
        .unwrap();
    assert_eq!(client.send_request(asked).await.unwrap().status(), StatusCode::OK);
    assert_eq!(*seen.lock().unwrap(), ["GET /a helloworld:5000"]);
    let mut many = request2(Method::GET, "/");
    for number in 0..101 {
        many = many.header("x-many", number);
    }
    let refused = client.send_request(many.body(empty()).unwrap()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

/// Each row is how many KiB of headers a request and its response have in HTTP/1.1 and in HTTP/2, and what comes of it.
#[tokio::test]
async fn heads_have_limits() {
    let large = |request: Request<Incoming>| async move {
        let kib: usize = request.uri().path()[1..].parse().unwrap();
        let response = Response::builder().header("x-large", "x".repeat(kib << 10));
        response.body(empty()).unwrap()
    };
    let rig = Rig::with(&[server::http2(large, 1 << 20).await]).await;
    for (asked, answered, one, two) in [
        (1, 1, 200, 200),
        (58, 58, 200, 200),
        (1, 62, 200, 503),
        (1, 390, 200, 503),
        (1, 900, 502, 503),
    ] {
        let (path, value) = (format!("/{answered}"), "x".repeat(asked << 10));
        let sent = request(Method::GET, &path).header("x-large", &value);
        let answer = rig.client().await.ask(sent.body(empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), one, "HTTP/1.1: {asked} {answered}");
        let sent = request2(Method::GET, &path).header("x-large", &value);
        let mut client = http2(rig.proxy.outbound).await;
        let response = client.send_request(sent.body(empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), two, "HTTP/2: {asked} {answered}");
    }
    let large = request2(Method::GET, "/1").header("x-large", "x".repeat(61 << 10));
    let mut client = http2(rig.proxy.outbound).await;
    let refused = client.send_request(large.body(empty()).unwrap()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

/// Nothing piles up in between on the way back either.
#[tokio::test]
async fn a_large_response_streams_at_the_speed_of_its_reader() {
    const FRAME: usize = 64 << 10;
    // What the sockets' buffers may hold, of which the proxy's own is 32 MiB by Linux' default.
    const MOST: usize = 48 << 20;
    let (feeds, mut fed_by) = tokio::sync::mpsc::unbounded_channel();
    let streams = move |_| {
        let feeds = feeds.clone();
        async move {
            let (frames, body) = fed();
            feeds.send(frames).unwrap();
            Response::<Body>::new(body)
        }
    };
    let rig = Rig::with(&[server::http(streams).await]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    SockRef::from(&client).set_recv_buffer_size(FRAME).unwrap();
    let asked = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    client.write_all(asked).await.unwrap();
    let frames = fed_by.recv().await.unwrap();
    let frame = Bytes::from(vec![b'x'; FRAME]);
    let mut written = 0;
    // The pause is no condition: whoever waits longer only writes no more.
    let pause = std::time::Duration::from_millis(300);
    while let Ok(sent) = tokio::time::timeout(pause, frames.send(Frame::data(frame.clone()))).await {
        sent.unwrap();
        written += FRAME;
        assert!(written < MOST, "{written} bytes were taken that nobody reads");
    }
    drop(frames);
    let (mut read, mut buffer) = (0, vec![0; FRAME]);
    loop {
        match client.read(&mut buffer).await.unwrap() {
            0 => break,
            count => read += count,
        }
    }
    assert!(read > written, "{read} bytes of {written} and their framing");
}

#[tokio::test]
async fn a_refusal_of_an_upload_comes_before_its_end() {
    let refuses = |_| async { Response::builder().status(413).body(full("too large")).unwrap() };
    let rig = Rig::with(&[server::http(refuses).await]).await;
    let (frames, body) = fed();
    let asked = request(Method::POST, "/").header("expect", "100-continue");
    let mut client = rig.client().await;
    let refused = client.send(asked.body(body).unwrap()).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    drop(frames);
    assert_eq!(answer(refused).await.body, "too large");
}

/// The application answers and closes in the middle of an upload, so that the rest of it cannot be written.
#[tokio::test]
async fn an_answer_in_the_middle_of_an_upload_is_heard() {
    let (listener, address) = server::port().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_until(&mut stream, "\r\n\r\n").await;
            let refused =
                b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
            stream.write_all(refused).await.unwrap();
            // Closed with bytes that nobody has read, the connection is reset.
        }
    });
    let rig = Rig::with(&[address]).await;
    for _ in 0..20 {
        let stream = TcpStream::connect(rig.proxy.outbound).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let uploading = tokio::spawn(async move {
            let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4194304\r\n\r\n";
            write.write_all(head.as_bytes()).await.unwrap();
            // It ends early, since nobody takes it.
            let _ = write.write_all(&vec![b'x'; 4 << 20]).await;
            // A client that closes its end, as dropping this does, is gone.
            write
        });
        let mut answer = [0; 12];
        read.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
        drop(read);
        drop(uploading.await.unwrap());
    }
}
