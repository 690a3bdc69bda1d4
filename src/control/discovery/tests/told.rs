//! What a proxy is told: what it asks for, what changes of it, and nothing twice.

use super::*;

#[tokio::test]
async fn a_proxy_is_told_what_it_asks_for_and_what_changes_of_it() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL + &endpoints("a", &["10.1.0.1".to_owned()]))).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(WORKLOAD, &[SELF]).await;
    assert_eq!(proxy.told().await, "workload self=curl");
    proxy.subscribe(SERVICE, &[A, "10.0.0.9:80", "nonsense"]).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=a -10.0.0.9:80 -nonsense");
    proxy
        .subscribe(ENDPOINTS, &[ENDPOINTS_A, "x.default.svc.cluster.local:80"])
        .await;
    assert_eq!(
        proxy.told().await,
        "endpoints a.default.svc.cluster.local:80=10.1.0.1 -x.default.svc.cluster.local:80"
    );

    plane.apply(&rule("a", "b")).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=b");
    plane.apply(&endpoints("a", &["10.1.0.2".to_owned()])).await;
    assert_eq!(
        proxy.told().await,
        "endpoints a.default.svc.cluster.local:80=10.1.0.2"
    );
    // What was not there comes, and goes again.
    let late = SERVICES
        .replace("name: a", "name: late")
        .replace("10.0.0.1", "10.0.0.9");
    plane.apply(&late).await;
    assert_eq!(proxy.told().await, "service 10.0.0.9:80=late");
    plane.delete(Kind::Service, "late").await;
    assert_eq!(proxy.told().await, "service -10.0.0.9:80");
    // What it routes to is part of a rule: without it there is nowhere to go.
    plane.delete(Kind::Service, "b").await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=");

    // A change of what it did not ask for, or no longer asks for, is not told: the next word is about something else.
    proxy
        .ask(DeltaDiscoveryRequest {
            resource_names_unsubscribe: vec![A.to_owned()],
            ..subscribe(SERVICE, &["10.0.0.9:80"])
        })
        .await;
    assert_eq!(proxy.told().await, "service -10.0.0.9:80");
    plane.delete(Kind::VirtualService, "a").await;
    plane.apply(&rule("b", "a")).await;
    plane.apply(&endpoints("b", &["10.1.0.3".to_owned()])).await;
    plane.apply(&endpoints("a", &["10.1.0.4".to_owned()])).await;
    assert_eq!(
        proxy.told().await,
        "endpoints a.default.svc.cluster.local:80=10.1.0.4"
    );
    // Asking again for what is subscribed to is answered again.
    proxy.subscribe(ENDPOINTS, &[ENDPOINTS_A]).await;
    assert_eq!(
        proxy.told().await,
        "endpoints a.default.svc.cluster.local:80=10.1.0.4"
    );
    // A type of the future is answered, too.
    proxy
        .subscribe("type.googleapis.com/outrigger.mesh.v9.New", &["x"])
        .await;
    assert_eq!(proxy.told().await, "new -x");
    assert!(plane.metrics().contains("\npilot_xds 1\n"), "{}", plane.metrics());
}

#[tokio::test]
async fn what_bytes_say_already_is_not_said_again() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL)).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &[A, B]).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=a 10.0.0.2:80=b");
    // Touches both hosts, but only changes what b's clients are told.
    plane.apply(&rule("b", "a")).await;
    plane.apply("{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: all}, spec: {host: '*.default.svc.cluster.local', subsets: [{name: x}]}}").await;
    plane.apply(&rule("b", "b")).await;
    let mut last = proxy.told().await;
    while last != "service 10.0.0.2:80=b" {
        assert_eq!(last, "service 10.0.0.2:80=a");
        last = proxy.told().await;
    }
}

#[tokio::test]
async fn the_pods_own_labels_decide() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL + &rule("a", "b"))).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &[A, B]).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80=b 10.0.0.2:80=b");
    proxy.subscribe(WORKLOAD, &[SELF]).await;
    assert_eq!(proxy.told().await, "workload self=curl");
    plane.apply(&CURL.replace("app: curl", "app: wget")).await;
    let told = [proxy.told().await, proxy.told().await];
    assert_eq!(told, ["service 10.0.0.1:80=a", "workload self=wget"]);
    // Its own ports, which services declare.
    let slice = endpoints("a", &[]).replace(
        "endpoints: []",
        "endpoints: [{addresses: [10.1.0.9], targetRef: {kind: Pod, name: curl}}]",
    );
    plane.apply(&slice).await;
    let response = proxy.next().await.unwrap();
    let value = &response.resources[0].resource.as_ref().unwrap().value[..];
    assert_eq!(
        mesh::Workload::decode(value).unwrap().inbound_ports,
        [mesh::InboundPort {
            port: 8080,
            protocol: mesh::Protocol::Http.into()
        }]
    );
}

#[tokio::test]
async fn a_proxy_that_comes_back_gets_only_what_is_new() {
    let both = SERVICES.to_owned() + CURL;
    let plane = Plane::with(&both).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &[A, B, "10.0.0.9:80"]).await;
    let first = proxy.next().await.unwrap();
    let versions = |response: &DeltaDiscoveryResponse| {
        let resources = response.resources.iter();
        resources
            .map(|resource| (resource.name.clone(), resource.version.clone()))
            .collect()
    };
    let again = DeltaDiscoveryRequest {
        initial_resource_versions: versions(&first),
        ..subscribe(SERVICE, &[A, B])
    };
    drop(proxy);

    // Another replica gives the same versions; that it has nothing to say is said, so that the proxy knows it is heard.
    let replica = Plane::with(&both).await;
    let mut proxy = replica.curl().await;
    proxy.ask(again.clone()).await;
    assert_eq!(proxy.told().await, "service");
    drop(proxy);

    // While it was away one was changed and one went.
    plane
        .apply(&rule("a", "a").replace("app: curl", "app: curl, x: y"))
        .await;
    plane.apply(&rule("a", "b")).await;
    plane.delete(Kind::VirtualService, "a").await;
    plane.apply(&SERVICES.replace("name: http", "name: grpc")).await;
    plane.apply(&rule("a", "b")).await;
    plane.delete(Kind::Service, "b").await;
    let mut proxy = plane.curl().await;
    proxy.ask(again).await;
    assert_eq!(proxy.told().await, "service 10.0.0.1:80= -10.0.0.2:80");
}

#[tokio::test]
async fn a_refusal_is_counted_and_not_answered_with_the_same() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL)).await;
    let mut proxy = plane.curl().await;
    proxy.subscribe(SERVICE, &[A]).await;
    let response = proxy.next().await.unwrap();
    proxy
        .ask(DeltaDiscoveryRequest {
            type_url: SERVICE.to_owned(),
            response_nonce: response.nonce.clone(),
            error_detail: Some(Detail {
                code: 3,
                message: "cannot use it".to_owned(),
            }),
            ..Default::default()
        })
        .await;
    proxy.subscribe(WORKLOAD, &[SELF]).await;
    assert_eq!(proxy.told().await, "workload self=curl");
    let metrics = plane.metrics();
    assert!(
        metrics.contains("pilot_total_xds_rejects_total{type=\"service\"} 1"),
        "{metrics}"
    );
    plane.apply(&rule("a", "b")).await;
    let next = proxy.next().await.unwrap();
    assert_eq!(render(&next), "service 10.0.0.1:80=b");
    assert_ne!(next.nonce, response.nonce);
}
