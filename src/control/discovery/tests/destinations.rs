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
