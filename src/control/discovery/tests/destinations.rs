//! Objects in, requests through a real proxy: pods of headless services, hosts of ServiceEntries, and what a Sidecar refuses.

use outrigger_proxy::workers::Workers;

use super::sidecar::{Files, behind_tls, get, proxy, server};
use super::*;

fn slice(service: &str, at: SocketAddr) -> String {
    endpoints(service, &[at.ip().to_string()]).replace("port: 8080", &format!("port: {}", at.port()))
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: {kind}, metadata: {{name: {name}}}, spec: {spec}}}\n---\n"
    )
}

#[tokio::test]
async fn a_proxy_goes_where_names_and_addresses_lead() {
    let (pod, outside, other, resolved) = (
        server("web-0").await,
        server("outside").await,
        server("other").await,
        server("resolved").await,
    );
    let objects = SERVICES.to_owned()
        + CURL
        + "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}\n---\n"
        + &slice("web", pod)
        + &slice("a", other)
        + &object(
            "VirtualService",
            "web",
            "{hosts: [web], http: [{match: [{headers: {x: {exact: y}}}], route: [{destination: {host: b}}]}, {route: [{destination: {host: web}}]}]}",
        )
        + &object(
            "ServiceEntry",
            "by-name",
            &format!(
                "{{hosts: [api.example.com, '*.wild.example.com'], ports: [{{number: {}, name: http, targetPort: {}}}], resolution: DNS, endpoints: [{{address: localhost}}]}}",
                outside.port(),
                resolved.port()
            ),
        )
        + &object(
            "ServiceEntry",
            "by-address",
            &format!(
                "{{hosts: [vip.example.com], addresses: [240.0.0.1], ports: [{{number: 80, name: http}}], resolution: STATIC, endpoints: [{{address: {}, ports: {{http: {}}}}}]}}",
                other.ip(),
                other.port()
            ),
        )
        + &object(
            "VirtualService",
            "wild",
            "{hosts: [moved.wild.example.com], http: [{route: [{destination: {host: a}}]}]}",
        );
    let plane = Plane::with(&objects).await;
    let files = Files::new();
    let front = behind_tls(&plane, &files).await;
    let vip = "240.0.0.1:80".parse().unwrap();
    let bound = proxy(front, &files, &[pod, outside, vip]);
    let entries = bound.outbound().unwrap();
    let mesh = bound.mesh();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(bound.run(shutdown.clone(), Workers::default()));
    mesh.ready().await;
    let check = async |rows: &[(usize, &str, &str)]| {
        for (entry, host, expected) in rows {
            assert_eq!(get(entries[*entry], host).await, *expected, "{host}");
        }
    };
    check(&[
        (0, "web-0.web", "web-0"),
        (1, "api.example.com", "resolved"),
        (1, "API.example.com:80", "resolved"),
        (1, "x.wild.example.com", "resolved"),
        (1, "moved.wild.example.com", "other"),
        (1, "www.example.com", "outside"),
        (2, "whatever", "other"),
    ])
    .await;
    // From now on what is not known is refused; nothing else changes.
    let sidecar = object("Sidecar", "s", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}");
    plane.apply(&sidecar).await;
    while get(entries[1], "www.example.com").await != "502" {}
    check(&[
        (0, "web-0.web", "web-0"),
        (1, "api.example.com", "resolved"),
        (2, "whatever", "other"),
    ])
    .await;
    plane.delete(Kind::ServiceEntry, "by-address").await;
    while get(entries[2], "whatever").await != "502" {}
    shutdown.cancel();
    running.await.unwrap();
}

fn entry(name: &str, hosts: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}}}, spec: {{hosts: [{hosts}], ports: [{{number: 80, name: http}}], resolution: DNS, endpoints: [{{address: e.example.com}}]}}}}\n---\n"
    )
}

#[tokio::test]
async fn what_is_known_by_name_is_told_when_it_comes_changes_and_goes() {
    let plane = Plane::with(&(SERVICES.to_owned() + CURL)).await;
    let mut proxy = plane.curl().await;
    let names = [
        "*:80",
        "api.example.com:80",
        "x.wild.example.com:80",
        "240.0.0.1:80",
        "10.1.0.1:8080",
    ];
    proxy.subscribe(SERVICE, &names).await;
    assert_eq!(
        proxy.told().await,
        "service -*:80 -10.1.0.1:8080 -240.0.0.1:80 -api.example.com:80 -x.wild.example.com:80"
    );
    plane.apply(&entry("api", "api.example.com")).await;
    assert_eq!(
        proxy.told().await,
        "service *:80=api.example.com api.example.com:80=api"
    );
    plane.apply(&entry("wild", "'*.wild.example.com'")).await;
    assert_eq!(
        proxy.told().await,
        "service *:80=*.wild.example.com,api.example.com x.wild.example.com:80=x"
    );
    // A rule for a name below the wildcard.
    plane.apply(&rule("x.wild.example.com", "a")).await;
    assert_eq!(proxy.told().await, "service x.wild.example.com:80=a");
    plane.delete(Kind::VirtualService, "x.wild.example.com").await;
    assert_eq!(proxy.told().await, "service x.wild.example.com:80=x");
    proxy.subscribe(ENDPOINTS, &["x.wild.example.com:80"]).await;
    assert_eq!(
        proxy.told().await,
        "endpoints x.wild.example.com:80=e.example.com"
    );
    plane
        .apply(&entry("wild", "'*.wild.example.com'").replace("address: e", "address: f"))
        .await;
    assert_eq!(
        proxy.told().await,
        "endpoints x.wild.example.com:80=f.example.com"
    );

    // Addresses of its own: no longer by name alone.
    let addressed = entry("api", "api.example.com").replace("ports:", "addresses: [240.0.0.0/8], ports:");
    plane.apply(&addressed).await;
    assert_eq!(
        proxy.told().await,
        "service *:80=*.wild.example.com 240.0.0.1:80=api"
    );
    // A Sidecar hides it from this pod.
    let sidecar = "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s}, spec: {egress: [{hosts: [~/*]}]}}";
    plane.apply(sidecar).await;
    assert_eq!(
        proxy.told().await,
        "service -*:80 -240.0.0.1:80 -api.example.com:80 -x.wild.example.com:80"
    );
    plane.delete(Kind::Sidecar, "s").await;
    assert_eq!(
        proxy.told().await,
        "service *:80=*.wild.example.com 240.0.0.1:80=api api.example.com:80=api x.wild.example.com:80=x"
    );
    plane.delete(Kind::ServiceEntry, "wild").await;
    assert_eq!(proxy.told().await, "endpoints -x.wild.example.com:80");
    assert_eq!(proxy.told().await, "service -*:80 -x.wild.example.com:80");

    // A pod of a headless service.
    plane.apply("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}").await;
    plane.apply(&endpoints("web", &["10.1.0.1".to_owned()])).await;
    assert_eq!(proxy.told().await, "service 10.1.0.1:8080=original");
    plane.apply(&endpoints("web", &["10.1.0.2".to_owned()])).await;
    assert_eq!(proxy.told().await, "service -10.1.0.1:8080");
}
