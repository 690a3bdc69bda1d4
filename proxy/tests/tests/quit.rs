//! The application ends a proxy that would outlive it.

use http::Method;

use super::client::{Client, empty, request};
use super::rig::Proxy;

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
