//! Whose streams are served, for how long, and how much they may ask for.

use super::*;

#[tokio::test]
async fn who_proves_nothing_is_told_nothing() {
    let plane = Plane::with(CURL).await;
    for token in [None, Some("wrong"), Some("")] {
        let status = plane.connect(token).await.err().unwrap();
        assert_eq!(status.code(), Code::Unauthenticated, "{token:?}: {status}");
    }
    let plane = Plane::empty().await;
    let status = plane.connect(Some("token-of-curl")).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_pod_may_come_after_its_proxy() {
    let plane = Plane::with(CURL).await;
    let apply = async {
        // The stream is asked for first, if only by a little; either order has to end well.
        tokio::task::yield_now().await;
        plane.apply(&CURL.replace("name: curl", "name: late")).await;
    };
    let (proxy, ()) = tokio::join!(plane.connect(Some("token-of-late")), apply);
    let mut proxy = proxy.unwrap();
    proxy.subscribe(WORKLOAD, &[SELF]).await;
    assert_eq!(proxy.told().await, "workload self=curl");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_come_is_not_waited_for_for_ever() {
    let plane = Plane::with(CURL).await;
    let status = plane.connect(Some("token-of-other")).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("Pod default/other"), "{status}");
}

#[tokio::test]
async fn streams_end_with_their_pods_and_with_the_process() {
    for replaced in [true, false] {
        let plane = Plane::with(CURL).await;
        let mut proxy = plane.curl().await;
        proxy.subscribe(WORKLOAD, &[SELF]).await;
        assert_eq!(proxy.told().await, "workload self=curl");
        match replaced {
            true => plane.apply(&CURL.replace("uid: u", "uid: another")).await,
            false => plane.delete(Kind::Pod, "curl").await,
        }
        assert_eq!(proxy.next().await.unwrap_err().code(), Code::Unauthenticated);
    }
    let plane = Plane::with(CURL).await;
    let mut proxy = plane.curl().await;
    plane.shutdown.cancel();
    assert_eq!(proxy.next().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn more_than_a_proxy_can_need_is_refused() {
    let plane = Plane::with(CURL).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &["x".repeat(5000).as_str()]).await;
    assert_eq!(proxy.next().await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_slow_proxy_holds_up_nobody_and_skips_what_is_old() {
    const CHANGES: usize = 20;
    // Larger than what the connection takes in before somebody reads.
    let state = |step: usize| {
        let addresses: Vec<_> = (0..4000)
            .map(|n| format!("10.{}.{}.{}", 2 + step, n / 250, n % 250))
            .collect();
        endpoints("a", &addresses)
    };
    let first = |response: &DeltaDiscoveryResponse| {
        let value = &response.resources[0].resource.as_ref().unwrap().value[..];
        mesh::Endpoints::decode(value).unwrap().endpoints[0]
            .address
            .clone()
    };
    let plane =
        Plane::with(&(SERVICES.to_owned() + CURL + &CURL.replace("name: curl", "name: other") + &state(0)))
            .await;
    let mut slow = plane.connect(Some("token-of-other")).await.unwrap();
    slow.subscribe(ENDPOINTS, &[ENDPOINTS_A]).await;
    assert_eq!(first(&slow.next().await.unwrap()), "10.2.0.0");
    let mut quick = plane.curl().await;
    quick.subscribe(ENDPOINTS, &[ENDPOINTS_A]).await;
    assert_eq!(first(&quick.next().await.unwrap()), "10.2.0.0");
    for step in 1..=CHANGES {
        plane.apply(&state(step)).await;
        assert_eq!(
            first(&quick.next().await.unwrap()),
            format!("10.{}.0.0", 2 + step)
        );
    }
    let mut seen = 1;
    while first(&slow.next().await.unwrap()) != format!("10.{}.0.0", 2 + CHANGES) {
        seen += 1;
    }
    assert!(seen < CHANGES / 2, "it was sent {seen} of {CHANGES} states");
}
