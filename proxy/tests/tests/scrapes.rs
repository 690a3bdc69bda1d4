//! One scrape for the application's metrics and the proxy's own.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::client::{Answer, Body, Client, empty, full, request};
use super::rig::Proxy;
use super::server::{self, dead, read_until};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What Prometheus 3 accepts.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// A proxy beside an application with metrics on a port.
fn proxy(port: u16, path: &str) -> Proxy {
    let app = json!({"port": port, "path": path}).to_string();
    Proxy::beside("{}", Some(&app))
}

async fn scraped(proxy: &Proxy, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = request(Method::GET, "/stats/prometheus");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut prometheus = Client::connect(proxy.metrics).await;
    let answer = prometheus.ask(request.body(empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    answer
}

fn failures(reason: &str) -> String {
    format!("outrigger_app_scrape_failures_total{{reason=\"{reason}\"}} 1\n")
}

fn page(content_type: Option<&'static str>, body: &'static str) -> Response<Body> {
    let mut response = Response::new(full(body));
    let content_type = content_type.map(|value| value.parse().unwrap());
    response
        .headers_mut()
        .extend(content_type.map(|value| (http::header::CONTENT_TYPE, value)));
    response
}

#[tokio::test]
async fn the_applications_format_is_everybodys() {
    for (content_type, body, served_as, left) in [
        (None, "a 1\n", TEXT, "a 1\n"),
        (Some("text/plain"), "a 1", "text/plain", "a 1\n"),
        (Some("text/html; charset=utf-8"), "a 1\n", TEXT, "a 1\n"),
        (
            Some("application/openmetrics-text; version=0.0.1"),
            "# TYPE a counter\na_total 1\n# EOF\n",
            "application/openmetrics-text; version=0.0.1",
            "# TYPE a counter\na_total 1\n",
        ),
        (
            Some(OPEN_METRICS),
            "# TYPE outrigger_open_connections gauge\noutrigger_open_connections 7\na 1\n# EOF\n",
            OPEN_METRICS,
            "a 1\n",
        ),
    ] {
        let application = server::http(move |_| async move { page(content_type, body) }).await;
        let answer = scraped(&proxy(application.port(), "/metrics"), &[("accept", ACCEPT)]).await;
        assert_eq!(answer.headers["content-type"], served_as, "{content_type:?}");
        let own = answer.body.strip_prefix(left);
        let own = own.unwrap_or_else(|| panic!("{content_type:?}: {}", answer.body));
        assert!(own.starts_with("# HELP outrigger_"), "{content_type:?}: {own}");
        let (lines, ends): (Vec<&str>, Vec<&str>) = own.lines().partition(|line| *line != "# EOF");
        assert!(lines.contains(&"outrigger_open_connections 0"), "{own}");
        let counter = if served_as.starts_with("text/") {
            assert_eq!(ends.len(), 0);
            "# TYPE outrigger_app_samples_dropped_total counter"
        } else {
            assert_eq!(ends.len(), 1);
            assert!(own.ends_with("# EOF\n"));
            "# TYPE outrigger_app_samples_dropped counter"
        };
        assert!(lines.contains(&counter), "{own}");
        let dropped = format!(
            "outrigger_app_samples_dropped_total {}",
            u8::from(body.contains("outrigger_"))
        );
        assert!(lines.contains(&dropped.as_str()), "{own}");
        assert!(!own.contains("outrigger_app_scrape_failures_total{"), "{own}");
    }
}

#[tokio::test]
async fn without_the_applications_the_proxys_own_come_alone() {
    let application = server::http(|request: Request<Incoming>| async move {
        match request.uri().path() {
            "/503" => {
                let mut response = page(Some("text/plain"), "a 1\n");
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                response
            }
            "/gzip" => {
                let mut response = page(Some("text/plain"), "a 1\n");
                response
                    .headers_mut()
                    .insert("content-encoding", "gzip".parse().unwrap());
                response
            }
            "/json" => page(Some("application/json"), "{}"),
            "/html" => page(Some("text/html"), "<html>\na 1\n"),
            _ => std::future::pending().await,
        }
    })
    .await;
    let (_socket, refused) = dead();
    for (port, path, reason) in [
        (refused.port(), "/metrics", "Unreachable"),
        (application.port(), "/503", "Status"),
        (application.port(), "/gzip", "NotMetrics"),
        (application.port(), "/json", "NotMetrics"),
        (application.port(), "/html", "NotMetrics"),
        (application.port(), "/silent", "Timeout"),
    ] {
        let patience = ("x-prometheus-scrape-timeout-seconds", "0.5");
        let answer = scraped(&proxy(port, path), &[patience]).await;
        assert_eq!(answer.headers["content-type"], TEXT);
        assert!(
            answer.body.starts_with("# HELP outrigger_"),
            "{path}: {}",
            answer.body
        );
        assert!(answer.body.contains(&failures(reason)), "{path}: {}", answer.body);
    }
    // What the scraper likes best, when there is nobody else to ask.
    let alone = scraped(&Proxy::beside("{}", None), &[("accept", ACCEPT)]).await;
    assert_eq!(alone.headers["content-type"], OPEN_METRICS);
    assert!(alone.body.ends_with("# EOF\n"), "{}", alone.body);
}

#[tokio::test]
async fn what_breaks_off_ends_with_its_last_whole_line() {
    for (length, silent, reason) in [("99", false, "Unreachable"), ("99", true, "Timeout")] {
        let (listener, address) = server::port().await;
        let application = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_until(&mut stream, "\r\n\r\n").await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {OPEN_METRICS}\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(b"a 1\nb{c=\"").await.unwrap();
            silent.then_some(stream)
        };
        let proxy = proxy(address.port(), "/metrics");
        let patience = [("x-prometheus-scrape-timeout-seconds", "0.5")];
        let (_open, answer) = tokio::join!(application, scraped(&proxy, &patience));
        assert!(
            answer.body.starts_with("a 1\n# HELP outrigger_"),
            "{}",
            answer.body
        );
        assert!(answer.body.contains(&failures(reason)), "{}", answer.body);
        assert!(answer.body.ends_with("\n# EOF\n"), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_application_sees_what_prometheus_says_to_it() {
    let seen = Arc::new(Mutex::new((String::new(), HeaderMap::new())));
    let application = server::http({
        let seen = seen.clone();
        move |request: Request<Incoming>| {
            *seen.lock().unwrap() = (request.uri().to_string(), request.headers().clone());
            async { page(None, "") }
        }
    })
    .await;
    let proxy = proxy(application.port(), "/m?a=b");
    let mut prometheus = Client::connect(proxy.metrics).await;
    let request = request(Method::GET, "/metrics?c=d")
        .header(
            "accept",
            format!("application/vnd.google.protobuf;q=0.7,{ACCEPT}"),
        )
        .header("accept-encoding", "gzip")
        .header("authorization", "Bearer a")
        .header("x-prometheus-scrape-timeout-seconds", "10")
        .header("cookie", "b");
    prometheus.ask(request.body(empty()).unwrap()).await;
    let (uri, headers) = seen.lock().unwrap().clone();
    assert_eq!(uri, "/m?a=b&c=d");
    let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "authorization",
            "connection",
            "host",
            "x-prometheus-scrape-timeout-seconds"
        ]
    );
    assert_eq!(headers["accept"], ACCEPT);
    assert_eq!(headers["authorization"], "Bearer a");
    assert_eq!(headers["host"], application.to_string());
}

#[tokio::test]
async fn metrics_of_any_size_are_streamed() {
    const LINES: usize = 200_000;
    let body = "application_metric_with_a_long_name{label=\"value\"} 1\n".repeat(LINES);
    let size = body.len();
    let application = server::http(move |_| {
        let body = body.clone();
        async { Response::new(full(body)) }
    })
    .await;
    let answer = scraped(&proxy(application.port(), "/metrics"), &[]).await;
    assert!(answer.body[size..].starts_with("# HELP outrigger_"));
    assert!(!answer.body[size..].contains("outrigger_app_scrape_failures_total{"));
}
