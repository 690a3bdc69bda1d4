//! The access log's lines.

use std::io::Write;

use http::{Method, StatusCode};
use outrigger_proxy::http::{AccessLog, Format};
use outrigger_proxy::protocol::mesh::{Fault, HttpRoute};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::client::{Client, full, request};
use super::published::{http, route, tcp, to};
use super::rig::Rig;
use super::server::{self, read_until};

struct Lines(mpsc::UnboundedSender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8(bytes.to_vec()).unwrap();
        // Nobody reads the last lines of a story.
        let _ = self.0.send(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A rig with one route to these endpoints, and what it logs.
async fn rig(
    format: Format,
    addresses: &[std::net::SocketAddr],
    change: impl FnOnce(&mut HttpRoute),
) -> (Rig, mpsc::UnboundedReceiver<String>) {
    let (sender, lines) = mpsc::unbounded_channel();
    let rig = Rig::logging(AccessLog::to(format, Lines(sender)).unwrap()).await;
    let mut one = route("one", vec![], vec![to("all", 1)]);
    change(&mut one);
    rig.service(&http(vec![one])).await;
    rig.endpoints("all", addresses).await;
    (rig, lines)
}

async fn json(lines: &mut mpsc::UnboundedReceiver<String>) -> Value {
    serde_json::from_str(&lines.recv().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_line_says_what_became_of_a_request() {
    let (rig, mut lines) = rig(Format::Json, &[server::named("v1").await], |_| ()).await;
    let posted = request(Method::POST, "/a?b=c")
        .header("user-agent", "curl\"8\n".trim())
        .header("x-request-id", "mine")
        .body(full("body!"))
        .unwrap();
    rig.client().await.ask(posted).await;
    let line = json(&mut lines).await;
    for (field, expected) in [
        ("method", Value::from("POST")),
        ("path", "/a?b=c".into()),
        ("protocol", "HTTP/1.1".into()),
        ("response_code", 200.into()),
        ("response_flags", "-".into()),
        ("response_code_details", "via_upstream".into()),
        ("bytes_received", 5.into()),
        ("bytes_sent", 2.into()),
        ("user_agent", "curl\"8".into()),
        ("request_id", "mine".into()),
        ("authority", "helloworld:5000".into()),
        ("upstream_cluster", "all".into()),
        ("route_name", "one".into()),
        ("downstream_local_address", "10.96.0.7:5000".into()),
    ] {
        assert_eq!(line[field], expected, "{field}: {line}");
    }
    let upstream = line["upstream_host"].as_str().unwrap();
    assert!(upstream.starts_with("127.0.0.1:"), "{line}");
}

#[tokio::test]
async fn text_is_one_line_whatever_the_client_sends() {
    let (rig, mut lines) = rig(Format::Text, &[server::named("v1").await], |_| ()).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    let asked = b"GET / HTTP/1.1\r\nhost: a\r\nuser-agent: \"b\" \xff\x80\r\nconnection: close\r\n\r\n";
    client.write_all(asked).await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    let line = lines.recv().await.unwrap();
    assert!(line.ends_with(" one\n") && line.lines().count() == 1, "{line}");
    assert!(
        line.contains(r#""GET / HTTP/1.1" 200 - via_upstream - "-" 0 2 "#),
        "{line}"
    );
    assert!(line.contains(r#" "\"b\" "#), "{line}");
}

#[tokio::test]
async fn flags_say_why() {
    let (_socket, dead) = server::dead();
    let never = server::http(|_| std::future::pending()).await;
    let breaks = {
        let (listener, address) = server::port().await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                read_until(&mut stream, "\r\n\r\n").await;
            }
        });
        address
    };
    let fault = Fault {
        abort_millionths: 1_000_000,
        abort_status: 400,
        delay_millionths: 1_000_000,
        delay_ms: 1,
        ..Default::default()
    };
    for (addresses, timeout_ms, fault, status, flags) in [
        (vec![], 0, None, 503, "UH"),
        (vec![dead], 0, None, 503, "URX,UF"),
        (vec![never], 20, None, 504, "UT"),
        (vec![breaks], 0, None, 503, "UC"),
        (vec![dead], 0, Some(fault), 400, "DI,FI"),
    ] {
        let (rig, mut lines) = rig(Format::Json, &addresses, |route| {
            (route.timeout_ms, route.fault) = (timeout_ms, fault);
        })
        .await;
        assert_eq!(rig.client().await.get("/").await.status.as_u16(), status);
        let line = json(&mut lines).await;
        assert_eq!(line["response_flags"], flags, "{line}");
        assert_eq!(line["response_code"], status, "{line}");
    }
    let (rig, mut lines) = rig(Format::Json, &[], |route| {
        route.matches.push(super::published::header("x", "y"));
    })
    .await;
    assert_eq!(rig.client().await.get("/").await.status, StatusCode::NOT_FOUND);
    assert_eq!(json(&mut lines).await["response_flags"], "NR");
}

/// Of a head that cannot be read there is nothing to say but what it got.
#[tokio::test]
async fn a_refused_head_leaves_a_line_and_a_count() {
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100 << 10));
    let twofold = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    let (rig, mut lines) = rig(Format::Json, &[], |_| ()).await;
    for (sent, method, status, details) in [
        ("nonsense\r\n\r\n", Value::Null, 400, "http1.codec_error"),
        (large.as_str(), Value::Null, 431, "http1.headers_too_large"),
        (
            twofold,
            "POST".into(),
            400,
            "http1.content_length_and_chunked_not_allowed",
        ),
    ] {
        let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
        // The proxy may have closed before it has read all.
        let _ = client.write_all(sent.as_bytes()).await;
        let _ = client.read_to_end(&mut Vec::new()).await;
        let line = json(&mut lines).await;
        for (field, expected) in [
            ("method", method),
            ("response_code", status.into()),
            ("response_flags", "DPE".into()),
            ("response_code_details", details.into()),
        ] {
            assert_eq!(line[field], expected, "{field}: {line}");
        }
    }
    let counted = Client::connect(rig.proxy.metrics)
        .await
        .get("/metrics")
        .await
        .body;
    for (status, count) in [(400, 2), (431, 1)] {
        let expected = format!("direction=\"Outbound\",response_code=\"{status}\"}} {count}\n");
        assert!(counted.contains(&expected), "{expected}: {counted}");
    }
}

#[tokio::test]
async fn an_opaque_connection_leaves_a_line_at_its_end() {
    let (listener, address) = server::port().await;
    let (sender, mut lines) = mpsc::unbounded_channel();
    let rig = Rig::logging(AccessLog::to(Format::Json, Lines(sender)).unwrap()).await;
    rig.service(&tcp("all")).await;
    rig.endpoints("all", &[address]).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    client.write_all(b"hello\n").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "hello\n").await;
    server.write_all(b"bye").await.unwrap();
    drop(server);
    client.read_to_end(&mut Vec::new()).await.unwrap();
    drop(client);
    let line = json(&mut lines).await;
    for (field, expected) in [
        ("method", Value::Null),
        ("protocol", Value::Null),
        ("response_code", 0.into()),
        ("response_flags", "-".into()),
        ("bytes_received", 6.into()),
        ("bytes_sent", 3.into()),
        ("upstream_cluster", "all".into()),
        ("upstream_host", address.to_string().into()),
        ("downstream_local_address", "10.96.0.7:5000".into()),
    ] {
        assert_eq!(line[field], expected, "{field}: {line}");
    }
    let (_socket, dead) = server::dead();
    for (addresses, flags) in [(vec![], "UH"), (vec![dead], "UF")] {
        rig.endpoints("all", &addresses).await;
        let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
        let _ = client.read_to_end(&mut Vec::new()).await;
        let line = json(&mut lines).await;
        assert_eq!(line["response_flags"], flags, "{line}");
    }
}

#[tokio::test]
async fn a_client_that_goes_is_told_of() {
    let (listener, address) = server::port().await;
    let (rig, mut lines) = rig(Format::Json, &[address], |_| ()).await;
    let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "\r\n\r\n").await;
    drop(client);
    let line = json(&mut lines).await;
    assert_eq!(
        (&line["response_flags"], &line["response_code"]),
        (&"DC".into(), &0.into())
    );
}
