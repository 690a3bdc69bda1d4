//! Lifecycle hooks that the kubelet delivers through the proxy.

use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, full};
use super::rig::Proxy;
use super::server::{self, dead, read_until};

const PATH: &str = "/app-lifecycle/app/prestop";

fn proxy(hook: Value) -> Proxy {
    Proxy::beside(&json!({ PATH: hook }).to_string(), None)
}

/// All that the kubelet is told.
async fn told(proxy: &Proxy) -> String {
    let mut kubelet = TcpStream::connect(proxy.metrics).await.unwrap();
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: pod\r\nUser-Agent: kube-lifecycle/1.34\r\nConnection: close\r\n\r\n"
    );
    kubelet.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    kubelet.read_to_string(&mut told).await.unwrap();
    told
}

#[tokio::test]
async fn any_answer_is_passed_on_and_none_breaks_the_connection() {
    let application = server::http(|request: Request<Incoming>| async move {
        assert_eq!(request.headers()["user-agent"], "kube-lifecycle/1.34");
        let mut response = Response::new(full("done"));
        *response.status_mut() = request.uri().path()[1..].parse().unwrap();
        response
    })
    .await;
    for (path, line) in [("/200", "HTTP/1.1 200 OK\r\n"), ("/500", "HTTP/1.1 500 ")] {
        let hook = json!({"httpGet": {"path": path, "port": application.port()}});
        let told = told(&proxy(hook)).await;
        assert!(told.starts_with(line), "{path}: {told}");
    }
    let (_socket, refused) = dead();
    assert_eq!(
        told(&proxy(json!({"httpGet": {"port": refused.port()}}))).await,
        ""
    );
}

#[tokio::test]
async fn https_that_is_answered_in_plain_http_is_sent_again_without_credentials() {
    let application = server::http(|request: Request<Incoming>| async move {
        let kept = request.headers().contains_key("x-kept");
        assert!(kept && !request.headers().contains_key("authorization"));
        Response::new(full("done"))
    })
    .await;
    let headers = json!([{"name": "Authorization", "value": "Bearer a"}, {"name": "X-Kept", "value": "1"}]);
    let get = json!({"port": application.port(), "scheme": "HTTPS", "httpHeaders": headers});
    let told = told(&proxy(json!({ "httpGet": get }))).await;
    assert!(told.starts_with("HTTP/1.1 200 OK"), "{told}");
}

#[tokio::test]
async fn a_hook_ends_when_the_kubelet_gives_up() {
    let (listener, address) = server::port().await;
    let proxy = proxy(json!({"httpGet": {"port": address.port()}}));
    let mut kubelet = Client::connect(proxy.metrics).await;
    let request = super::client::request(Method::GET, PATH);
    let asking =
        tokio::spawn(async move { kubelet.send(request.body(super::client::empty()).unwrap()).await });
    let (mut hook, _) = listener.accept().await.unwrap();
    read_until(&mut hook, "\r\n\r\n").await;
    asking.abort();
    assert_eq!(hook.read(&mut [0]).await.unwrap(), 0);
}
