//! The application ends a proxy that would outlive it.

use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Client, empty, request};
use super::rig::Proxy;
use super::server::read_until;

#[tokio::test]
async fn post_over_loopback_is_answered_and_ends_the_proxy() {
    let proxy = Proxy::beside("{}", None);
    let mut client = Client::connect(proxy.metrics).await;
    let mut ask = async |method| {
        let request = request(method, "/quitquitquit").body(empty()).unwrap();
        client.ask(request).await
    };
    let refused = ask(Method::GET).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["allow"]),
        (405, &"POST".parse().unwrap())
    );
    assert!(proxy.is_running());
    let accepted = ask(Method::POST).await;
    assert_eq!(
        (accepted.status.as_u16(), accepted.body.as_str()),
        (200, "quitting\n")
    );
    proxy.ended().await;
}

#[tokio::test]
async fn a_body_that_comes_late_is_not_waited_for() {
    let proxy = Proxy::beside("{}", None);
    let mut client = TcpStream::connect(proxy.metrics).await.unwrap();
    let post = b"POST /quitquitquit HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n";
    client.write_all(post).await.unwrap();
    read_until(&mut client, "quitting\n").await;
    drop(client);
    proxy.ended().await;
}
