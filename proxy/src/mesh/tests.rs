//! What a proxy has been told, and what it does not know.

use prost::Message;
use tokio::time::Instant;

use super::{Carried, Link, Lookup, Mesh, Name};
use crate::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD, discovery, mesh};

mod names;
mod resolved;

const ADDRESS: &str = "10.96.0.7:5000";

fn response(kind: &str, name: &str, message: &impl Message) -> discovery::DeltaDiscoveryResponse {
    let any = prost_types::Any {
        type_url: kind.into(),
        value: message.encode_to_vec(),
    };
    let resource = discovery::Resource {
        name: name.into(),
        version: "1".into(),
        resource: Some(any),
    };
    discovery::DeltaDiscoveryResponse {
        type_url: kind.into(),
        resources: vec![resource],
        ..Default::default()
    }
}

fn gone(kind: &str, name: &str) -> discovery::DeltaDiscoveryResponse {
    discovery::DeltaDiscoveryResponse {
        type_url: kind.into(),
        removed_resources: vec![name.into()],
        ..Default::default()
    }
}

fn service(endpoints: &str) -> mesh::Service {
    let backend = mesh::Backend {
        endpoints: endpoints.into(),
        weight: 1,
        ..Default::default()
    };
    mesh::Service {
        host: "a.default.svc.cluster.local".into(),
        port: 5000,
        protocol: mesh::Protocol::Tcp.into(),
        http_routes: vec![],
        tcp_backends: vec![backend],
        ..Default::default()
    }
}

fn workload() -> mesh::Workload {
    mesh::Workload {
        mesh_ranges: vec!["10.0.0.0/8".into()],
        ..Default::default()
    }
}

fn subscribe(mesh: &Mesh) -> tokio::sync::watch::Receiver<Lookup> {
    mesh.subscribe(Name::parse(ADDRESS)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_first_connection_waits_for_the_answer() {
    let (mesh, mut wanted) = Mesh::new();
    mesh.set_link(Link::Up);
    let waiting = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.find(ADDRESS.parse().unwrap()).await }
    });
    assert_eq!(wanted.recv().await, Some(Name::parse(ADDRESS)));
    let (clusters, refused) = mesh.apply(response(SERVICE, ADDRESS, &service("a:5000")));
    assert_eq!((clusters, refused.len()), (vec!["a:5000".to_owned()], 0));
    let destination = waiting.await.unwrap().unwrap();
    assert_eq!(destination.service().unwrap().host, "a.default.svc.cluster.local");
    mesh.apply(gone(SERVICE, ADDRESS));
    assert!(
        destination.service().is_none(),
        "an open connection sees the service go"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_mesh_does_not_know_goes_through_and_says_why() {
    let (mesh, mut wanted) = Mesh::new();
    let begun = Instant::now();
    assert_eq!(
        mesh.find(ADDRESS.parse().unwrap()).await.unwrap_err(),
        Carried::ControlPlaneAway
    );
    assert_eq!(begun.elapsed(), super::AWAY);

    mesh.set_link(Link::Up);
    assert_eq!(wanted.try_recv().ok(), Some(Name::parse(ADDRESS)));
    mesh.apply(gone(SERVICE, ADDRESS));
    assert_eq!(
        mesh.find(ADDRESS.parse().unwrap()).await.unwrap_err(),
        Carried::Unknown
    );

    mesh.apply(response(WORKLOAD, SELF, &workload()));
    assert_eq!(
        mesh.find("1.1.1.1:443".parse().unwrap()).await.unwrap_err(),
        Carried::Outside
    );
    assert!(wanted.try_recv().is_err(), "neither was asked for again");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stays_known_while_the_control_plane_is_away() {
    let (mesh, _wanted) = Mesh::new();
    mesh.set_link(Link::Up);
    drop(subscribe(&mesh));
    mesh.apply(response(SERVICE, ADDRESS, &service("a:5000")));
    mesh.set_link(Link::Away(Instant::now()));
    tokio::time::advance(super::AWAY * 100).await;
    assert!(mesh.find(ADDRESS.parse().unwrap()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_bad_resource_is_refused_alone_and_the_last_good_one_stays() {
    let (mesh, _wanted) = Mesh::new();
    mesh.set_link(Link::Up);
    let lookup = subscribe(&mesh);
    mesh.apply(response(SERVICE, ADDRESS, &service("a:5000")));
    let mut bad = response(
        SERVICE,
        ADDRESS,
        &mesh::Service {
            host: "b".into(),
            port: 1,
            ..Default::default()
        },
    );
    bad.resources
        .extend(response(SERVICE, "10.96.0.8:80", &service("b:80")).resources);
    let (clusters, refused) = mesh.apply(bad);
    assert_eq!(clusters, ["b:80"]);
    assert!(
        refused[0]
            .to_string()
            .starts_with("10.96.0.7:5000: b:1 has no backends"),
        "{}",
        refused[0]
    );
    assert!(matches!(&*lookup.borrow(), super::Lookup::Service(service) if service.port == 5000));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_forgotten_and_said() {
    let (mesh, _wanted) = Mesh::new();
    mesh.set_link(Link::Up);
    let open = subscribe(&mesh);
    mesh.apply(response(SERVICE, ADDRESS, &service("a:5000")));
    mesh.apply(response(ENDPOINTS, "a:5000", &mesh::Endpoints::default()));
    tokio::time::advance(std::time::Duration::from_secs(601)).await;
    assert_eq!(mesh.sweep(), [], "a connection is open");
    drop(open);
    assert_eq!(
        mesh.sweep(),
        [
            (SERVICE, vec![ADDRESS.to_owned()]),
            (ENDPOINTS, vec!["a:5000".to_owned()])
        ]
    );
    let names: Vec<_> = mesh
        .subscriptions()
        .into_iter()
        .map(|((kind, _), _)| kind)
        .collect();
    assert_eq!(names, [WORKLOAD]);
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_begins_with_what_is_held() {
    let (mesh, _wanted) = Mesh::new();
    let _open = subscribe(&mesh);
    mesh.apply(response(SERVICE, ADDRESS, &service("a:5000")));
    let subscriptions = mesh.subscriptions();
    let versions: Vec<_> = subscriptions
        .iter()
        .map(|((kind, names), versions)| (*kind, names.clone(), versions.len()))
        .collect();
    assert_eq!(
        versions,
        [
            (WORKLOAD, vec![SELF.to_owned()], 0),
            (SERVICE, vec![ADDRESS.to_owned()], 1),
            (ENDPOINTS, vec!["a:5000".to_owned()], 0)
        ]
    );
}

#[tokio::test]
async fn what_is_refused_depends_on_the_policy_and_the_reason() {
    let (mesh, _wanted) = Mesh::new();
    let address = ADDRESS.parse().unwrap();
    for (policy, why, refused) in [
        (mesh::OutboundPolicy::AllowAny, Carried::Outside, false),
        (mesh::OutboundPolicy::RegistryOnly, Carried::Outside, true),
        (mesh::OutboundPolicy::RegistryOnly, Carried::Unknown, true),
        (
            mesh::OutboundPolicy::RegistryOnly,
            Carried::ControlPlaneAway,
            false,
        ),
    ] {
        let workload = mesh::Workload {
            outbound_policy: policy.into(),
            ..workload()
        };
        mesh.apply(response(WORKLOAD, SELF, &workload));
        let refusal = mesh.refusal(address, why);
        assert_eq!(refusal.is_some(), refused, "{policy:?} {why:?}");
    }
}
