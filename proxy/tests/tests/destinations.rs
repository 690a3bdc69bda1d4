//! Where a connection goes when its address does not say it: hosts, names that TLS asks for, where it was dialled, nowhere.

use http::{Method, StatusCode};
use outrigger_proxy::protocol::mesh::{
    Backend, Endpoint, Endpoints, OutboundPolicy, Service, TlsRoute, Workload,
};
use outrigger_proxy::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, empty, request};
use super::control_plane::ControlPlane;
use super::published::{default_http, tcp, to, undeclared};
use super::rig::{Proxy, Rig};
use super::server::{self, read_until};

/// A ClientHello of TLS 1.2 that asks for a name and nothing else.
fn hello(name: &str) -> Vec<u8> {
    let short = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let name = [&[0][..], &short(name.len()), name.as_bytes()].concat();
    let list = [&short(name.len())[..], &name].concat();
    let extension = [&[0, 0][..], &short(list.len()), &list].concat();
    let rest = [&[0, 0, 2, 0x13, 1, 1, 0][..], &short(extension.len()), &extension].concat();
    let body = [&[3, 3][..], &[7; 32], &rest].concat();
    let message = [&[1, 0][..], &short(body.len()), &body].concat();
    [&[22, 3, 1][..], &short(message.len()), &message].concat()
}

/// Publishes what is known of the pod before anything else is asked for.
async fn knows(control_plane: &ControlPlane, proxy: &Proxy, workload: Workload) {
    control_plane.publish(WORKLOAD, SELF, &workload).await;
    proxy.mesh.ready().await;
}

fn original() -> Backend {
    Backend {
        original_destination: true,
        cluster: "PassthroughCluster".into(),
        weight: 1,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_pod_of_a_headless_service_is_reached_where_it_was_dialled() {
    for with_names in [false, true] {
        let pod = server::named("web-0").await;
        let rig = Rig::towards(pod, None).await;
        let mut service = default_http("");
        service.http_routes[0].backends = vec![original()];
        if with_names {
            let hosts = [("nobody".to_owned(), "nobody:80".to_owned())];
            service.hosts = hosts.into();
        }
        rig.control_plane
            .publish(SERVICE, &pod.to_string(), &service)
            .await;
        assert_eq!(rig.client().await.bodies(3).await, ["web-0"; 3]);
    }
}

#[tokio::test]
async fn the_server_name_decides_and_the_bytes_stay_what_they_are() {
    let (one, one_address) = server::port().await;
    let (other, other_address) = server::port().await;
    for (protocol, first) in [(tcp("other"), 7), (undeclared("other"), 1)] {
        let rig = Rig::start().await;
        let service = Service {
            tls_routes: vec![TlsRoute {
                name: "a".into(),
                sni_hosts: vec!["*.example.com".into()],
                backends: vec![to("one", 1)],
            }],
            ..protocol
        };
        rig.service(&service).await;
        rig.endpoints("one", &[one_address]).await;
        rig.endpoints("other", &[other_address]).await;
        for (bytes, listener) in [
            (hello("Db.Example.com"), &one),
            (hello("example.com"), &other),
            (b"SSH-2.0-x\r\n".to_vec(), &other),
        ] {
            let mut client = TcpStream::connect(rig.proxy.outbound).await.unwrap();
            client.set_nodelay(true).unwrap();
            for piece in bytes.chunks(first) {
                client.write_all(piece).await.unwrap();
            }
            let (mut server, _) = listener.accept().await.unwrap();
            let mut read = vec![0; bytes.len()];
            server.read_exact(&mut read).await.unwrap();
            assert_eq!(read, bytes);
            server.write_all(b"done\n").await.unwrap();
            read_until(&mut client, "done\n").await;
        }
    }
}

#[tokio::test]
async fn the_host_header_names_a_service_that_no_address_does() {
    let outside = server::named("outside").await;
    let control_plane = ControlPlane::start().await;
    let proxy = Proxy::start(&control_plane, outside, None);
    let workload = Workload {
        mesh_ranges: vec!["10.0.0.0/8".into()],
        host_ports: vec![outside.port().into()],
        ..Default::default()
    };
    knows(&control_plane, &proxy, workload).await;
    let port = outside.port();
    let mut all = undeclared("");
    all.http_routes[0].backends = vec![original()];
    all.tcp_backends = vec![original()];
    all.hosts = [("api.example.com".to_owned(), format!("api.example.com:{port}"))].into();
    let resource = format!("*:{port}");
    control_plane.publish(SERVICE, &resource, &all).await;
    let api = default_http("api");
    control_plane
        .publish(SERVICE, &format!("api.example.com:{port}"), &api)
        .await;
    let named = Endpoints {
        endpoints: vec![Endpoint {
            // Resolved by the operating system, from its hosts file.
            address: "localhost".into(),
            port: server::named("api").await.port().into(),
            ..Default::default()
        }],
    };
    control_plane.publish(ENDPOINTS, "api", &named).await;
    let mut client = Client::connect(proxy.outbound).await;
    for (host, expected) in [
        ("api.example.com", "api"),
        ("API.example.com.:8080", "api"),
        ("www.example.com", "outside"),
        ("api.example.com", "api"),
    ] {
        let mut asked = request(Method::GET, "/").body(empty()).unwrap();
        asked.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(client.ask(asked).await.body, expected, "{host}");
    }
}

#[tokio::test]
async fn what_the_mesh_does_not_know_is_refused_if_the_pods_sidecar_says_so() {
    let outside = server::named("outside").await;
    let control_plane = ControlPlane::start().await;
    let proxy = Proxy::start(&control_plane, outside, None);
    let workload = Workload {
        mesh_ranges: vec!["10.0.0.0/8".into()],
        outbound_policy: OutboundPolicy::RegistryOnly.into(),
        ..Default::default()
    };
    knows(&control_plane, &proxy, workload).await;
    let mut client = Client::connect(proxy.outbound).await;
    assert_eq!(client.get("/").await.status, StatusCode::BAD_GATEWAY);
    let mut client = TcpStream::connect(proxy.outbound).await.unwrap();
    client.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    let mut answer = Vec::new();
    // Closed or reset: either way without an answer.
    let _ = client.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
    let metrics = Client::connect(proxy.metrics).await.get("/metrics").await.body;
    assert!(
        metrics.contains(r#"outrigger_connections_total{direction="Outbound",carried="Blocked"} 2"#),
        "{metrics}"
    );
}
