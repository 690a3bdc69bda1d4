//! What the kubelet learns about the application through the proxy, before any control plane has been reached.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;

use super::client::{Answer, Body, Client, empty, full, request};
use super::rig::Proxy;
use super::server::{self, dead, read_until};

const PATH: &str = "/app-health/app/livez";

/// Asks a proxy of its own, as the kubelet of Kubernetes 1.34 does.
async fn asked(probe: Value) -> Answer {
    let proxy = Proxy::beside(&json!({ PATH: probe }).to_string(), None);
    let mut kubelet = Client::connect(proxy.metrics).await;
    let request = request(Method::GET, PATH)
        .header("user-agent", "kube-probe/1.34")
        .header("cookie", "not-for-the-application");
    kubelet.ask(request.body(empty()).unwrap()).await
}

/// The status that the kubelet gets, and words of the line that comes with it.
pub(crate) async fn check(probe: Value, status: u16, words: &str) {
    let answer = asked(probe.clone()).await;
    assert_eq!(answer.status, status, "{probe}: {answer:?}");
    assert!(answer.body.contains(words), "{probe}: {answer:?}");
    assert!(answer.body.lines().count() <= 1, "{probe}: {answer:?}");
}

fn status(code: u16) -> Response<Body> {
    let mut response = Response::new(full("x".repeat(100 << 10)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn redirect(location: &str) -> Response<Body> {
    let mut response = status(302);
    response
        .headers_mut()
        .insert("location", location.parse().unwrap());
    response
}

/// An application with a path for each way to answer.
pub(crate) async fn application() -> SocketAddr {
    server::http(|request: Request<Incoming>| async move {
        let path = request.uri().path();
        let host = request.headers()["host"].to_str().unwrap();
        match path.split_at(path[1..].find('/').map_or(path.len(), |at| at + 1)) {
            ("/status", code) => status(code[1..].parse().unwrap()),
            ("/relative", _) => redirect("/status/200"),
            ("/absolute", _) => redirect(&format!("http://{host}/status/200")),
            ("/kept", _) => redirect("named"),
            ("/named", _) => status(if host == "app.example" { 200 } else { 500 }),
            ("/away", _) => redirect("http://elsewhere.example/"),
            ("/file", _) => redirect("file://127.0.0.1/etc/passwd"),
            ("/nowhere", _) => status(302),
            ("/again", "/0") => status(200),
            ("/again", left) => redirect(&format!("{}", left[1..].parse::<u8>().unwrap() - 1)),
            ("/silent", _) => std::future::pending().await,
            _ => status(404),
        }
    })
    .await
}

#[tokio::test]
async fn http_get() {
    let port = application().await.port();
    for (path, status, words) in [
        ("/status/200", 200, "/status/200: 200 OK"),
        ("/status/204", 204, ""),
        ("/status/399", 399, "399"),
        ("/status/400", 400, "400"),
        ("/status/500", 500, "500"),
        ("/absent?x", 404, "/absent?x: 404"),
        ("/relative", 200, ""),
        ("/absolute", 200, ""),
        // To other hosts the kubelet does not go, and takes the redirect for a success.
        ("/away", 302, ""),
        ("/nowhere", 302, ""),
        ("/file", 503, "only http and https"),
        // Ten requests and no more.
        ("/again/9", 200, ""),
        ("/again/10", 503, "stopped after 10 redirects"),
        ("/silent", 503, "timeoutSeconds: 1"),
    ] {
        check(json!({"httpGet": {"path": path, "port": port}}), status, words).await;
    }
    let host = json!([{"name": "Host", "value": "app.example"}]);
    let kept = json!({"httpGet": {"path": "/kept", "port": port, "httpHeaders": host}});
    check(kept, 200, "").await;
    let other = json!({"httpGet": {"path": "/status/200", "port": port, "host": "localhost"}});
    check(other, 200, "localhost").await;
    let (_socket, refused) = dead();
    check(
        json!({"httpGet": {"port": refused.port()}}),
        503,
        "connect to 127.0.0.1",
    )
    .await;
}

#[tokio::test]
async fn the_application_sees_what_the_kubelet_would_have_sent() {
    let declared = json!([{"name": "x-token", "value": "b"}, {"name": "X-Token", "value": "a"}]);
    let hosted = json!([{"name": "host", "value": "app.example"}, {"name": "user-agent", "value": ""}, {"name": "Accept", "value": "text/html"}]);
    for (headers, expected) in [
        (
            json!([]),
            vec![
                "Accept: */*",
                "Connection: close",
                "Host: ADDRESS",
                "User-Agent: kube-probe/1.34",
            ],
        ),
        (
            declared,
            vec![
                "Accept: */*",
                "Connection: close",
                "Host: ADDRESS",
                "User-Agent: kube-probe/1.34",
                "X-Token: a",
                "X-Token: b",
            ],
        ),
        (
            hosted,
            vec!["Accept: text/html", "Connection: close", "Host: app.example"],
        ),
    ] {
        let (listener, address) = server::port().await;
        let get = json!({"path": "live?full", "port": address.port(), "httpHeaders": headers});
        let application = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_until(&mut stream, "\r\n\r\n").await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
            // One connection for each probe.
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            head
        };
        let (head, answer) = tokio::join!(application, asked(json!({ "httpGet": get })));
        assert_eq!(answer.status, 200);
        let mut lines = head.trim_end().split("\r\n");
        assert_eq!(lines.next(), Some("GET /live?full HTTP/1.1"));
        let mut lines: Vec<&str> = lines.collect();
        lines.sort_unstable();
        let expected: Vec<String> = expected
            .iter()
            .map(|line| line.replace("ADDRESS", &address.to_string()))
            .collect();
        assert_eq!(lines, expected);
    }
}

#[tokio::test]
async fn https_whatever_the_certificate_says() {
    let seen = |request: Request<Incoming>| async move {
        let authority = request.uri().authority().map(ToString::to_string);
        let host = request
            .headers()
            .get("host")
            .map(|host| host.to_str().unwrap().to_owned());
        let expected = authority.or(host).as_deref() == Some("app.example");
        status(match (expected, request.version()) {
            (true, Version::HTTP_11) => 211,
            (true, Version::HTTP_2) => 222,
            _ => 500,
        })
    };
    let host = json!([{"name": "Host", "value": "app.example"}]);
    for (alpn, status) in [
        (vec![], 211),
        (vec!["http/1.1"], 211),
        (vec!["http/1.1", "h2"], 211),
        (vec!["h2"], 222),
    ] {
        let port = server::https(&alpn, seen).await.port();
        let get = json!({"port": port, "scheme": "HTTPS", "httpHeaders": host});
        check(json!({ "httpGet": get }), status, "").await;
    }
    let plain = application().await.port();
    let get = json!({"path": "/status/200", "port": plain, "scheme": "HTTPS"});
    check(json!({ "httpGet": get }), 503, "TLS with 127.0.0.1").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure() {
    for (bytes, words) in [
        ("", "GET http://127.0.0.1"),
        ("220 mail\r\n", "GET http://127.0.0.1"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "broke off"),
    ] {
        let (listener, address) = server::port().await;
        let application = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(bytes.as_bytes()).await.unwrap();
        };
        let get = json!({"httpGet": {"port": address.port()}});
        tokio::join!(application, check(get, 503, words));
    }
}

#[tokio::test]
async fn tcp_socket() {
    let (listener, address) = server::port().await;
    let accepted = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    };
    let probe = json!({"tcpSocket": {"port": address.port()}});
    tokio::join!(accepted, check(probe, 200, "connected"));
    let (_socket, refused) = dead();
    check(
        json!({"tcpSocket": {"port": refused.port()}}),
        503,
        "connect to port",
    )
    .await;
    let nowhere = json!({"tcpSocket": {"port": address.port(), "host": "no host"}});
    check(nowhere, 503, "no host").await;
}

#[tokio::test]
async fn only_what_was_declared() {
    let port = application().await.port();
    let probes = json!({ PATH: {"httpGet": {"path": "/status/200", "port": port}} }).to_string();
    let proxy = Proxy::beside(&probes, None);
    let mut client = Client::connect(proxy.metrics).await;
    for (method, path, status) in [
        (Method::GET, PATH, 200),
        (Method::HEAD, PATH, 200),
        (Method::GET, "/app-health/app/livez?x=y", 200),
        (Method::POST, PATH, 405),
        (Method::GET, "/app-health/app/readyz", 404),
        (Method::GET, "/app-health/app/livez/", 404),
        (Method::GET, "/status/200", 404),
        (Method::GET, "/config_dump", 404),
    ] {
        let answer = client
            .ask(request(method.clone(), path).body(empty()).unwrap())
            .await;
        assert_eq!(answer.status, status, "{method} {path}");
        if status == 404 {
            assert!(answer.body.contains(PATH), "{path}: {answer:?}");
        }
    }
    assert_eq!(proxy.readiness().await, 503);
}

#[tokio::test]
async fn one_probe_runs_four_times_at_once_and_no_more() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let four = Arc::new(Barrier::new(4));
    let application = server::http({
        let most = most.clone();
        move |_| {
            let (running, most, four) = (running.clone(), most.clone(), four.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                four.wait().await;
                running.fetch_sub(1, Ordering::SeqCst);
                status(200)
            }
        }
    })
    .await;
    let probe = json!({"httpGet": {"port": application.port()}, "timeoutSeconds": 30});
    let proxy = Proxy::beside(&json!({ PATH: probe }).to_string(), None);
    let asking = (0..8).map(|_| async { Client::connect(proxy.metrics).await.get(PATH).await.status });
    assert_eq!(futures::future::join_all(asking).await, [200; 8]);
    assert_eq!(most.load(Ordering::SeqCst), 4);
}
