use prost::Message;
use tokio::time::Instant;

use super::{Carried, Link, Lookup, Mesh, Name};
use crate::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD, discovery, mesh};

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

fn named(port: u16) -> mesh::Workload {
    mesh::Workload {
        host_ports: vec![port.into()],
        ..workload()
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_address_says_is_asked_for_by_port_and_then_by_name() {
    let (mesh, mut wanted) = Mesh::new();
    mesh.set_link(Link::Up);
    mesh.apply(response(WORKLOAD, SELF, &named(80)));
    let outside = "203.0.113.9:80".parse().unwrap();
    let finding = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.find(outside).await }
    });
    assert_eq!(wanted.recv().await, Some(Name::parse("*:80")));
    let all = mesh::Service {
        hosts: [("api.example.com".to_owned(), "api.example.com:80".to_owned())].into(),
        ..service("x:80")
    };
    mesh.apply(response(SERVICE, "*:80", &all));
    let destination = finding.await.unwrap().unwrap();
    assert_eq!(destination.address(), outside);
    assert!(destination.named("other.example.com").await.is_none());
    assert!(
        wanted.try_recv().is_err(),
        "nothing is asked of a name that is no service's"
    );

    let naming = tokio::spawn({
        let destination = destination.clone();
        async move { destination.named("api.example.com:80").await }
    });
    assert_eq!(wanted.recv().await, Some(Name::parse("api.example.com:80")));
    mesh.apply(response(SERVICE, "api.example.com:80", &service("api:80")));
    let api = naming.await.unwrap().unwrap();
    assert_eq!(api.address(), outside);
    assert_eq!(api.service().unwrap().host, "a.default.svc.cluster.local");
    // An address of the mesh that no service has may be named as well.
    drop(mesh.find("10.1.2.3:80".parse().unwrap()));
    mesh.apply(gone(SERVICE, "api.example.com:80"));
    assert!(destination.named("api.example.com").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_address_of_the_mesh_may_be_known_by_name_alone() {
    let (mesh, _wanted) = Mesh::new();
    mesh.set_link(Link::Up);
    mesh.apply(response(WORKLOAD, SELF, &named(5000)));
    let finding = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.find(ADDRESS.parse().unwrap()).await }
    });
    while mesh.subscriptions().len() < 2 {
        tokio::task::yield_now().await;
    }
    mesh.apply(gone(SERVICE, ADDRESS));
    while mesh.subscriptions()[1].0.1.len() < 2 {
        tokio::task::yield_now().await;
    }
    mesh.apply(response(SERVICE, "*:5000", &service("a:5000")));
    assert!(finding.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn more_hosts_than_are_used_are_not_followed() {
    let (mesh, mut wanted) = Mesh::new();
    mesh.set_link(Link::Up);
    let mut hosts = 0;
    while mesh.subscribe(Name::Host(format!("h{hosts}:80"))).is_some() {
        hosts += 1;
        wanted.try_recv().unwrap();
    }
    assert_eq!(hosts, 8192);
    assert!(mesh.subscribe(Name::parse(ADDRESS)).is_some(), "addresses are");
    assert!(
        mesh.subscribe(Name::Host("h0:80".into())).is_some(),
        "and what is known"
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

fn endpoints(addresses: &[(&str, u32)]) -> mesh::Endpoints {
    let one = |(address, port): &(&str, u32)| mesh::Endpoint {
        address: (*address).to_owned(),
        port: *port,
        ..Default::default()
    };
    mesh::Endpoints {
        endpoints: addresses.iter().map(one).collect(),
    }
}

/// Where the service's connections go.
fn led(mesh: &Mesh) -> Option<Vec<String>> {
    let Lookup::Service(service) = subscribe(mesh).borrow().clone() else {
        return None;
    };
    let crate::route::Target::Cluster(cluster) = &service.tcp[0].target else {
        return None;
    };
    let all = cluster.endpoints()?;
    Some(all.iter().map(|one| one.address.to_string()).collect())
}

#[tokio::test(start_paused = true)]
async fn endpoints_with_names_are_resolved_again_and_again() {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    let (mesh, _wanted) = Mesh::new();
    mesh.set_link(Link::Up);
    let dns: Arc<Mutex<HashMap<String, Vec<&str>>>> = Arc::default();
    let set = |name: &str, addresses: &[&'static str]| {
        dns.lock().unwrap().insert(name.to_owned(), addresses.to_vec());
    };
    let lookup = {
        let dns = dns.clone();
        move |name: String| {
            let answer = dns.lock().unwrap().get(&name).cloned();
            let parsed = |all: Vec<&str>| all.iter().map(|one| one.parse().unwrap()).collect();
            std::future::ready(
                answer
                    .map(parsed)
                    .ok_or_else(|| std::io::Error::other("no such name")),
            )
        }
    };
    tokio::spawn(crate::resolver::run(mesh.clone(), lookup));
    let passes = |seconds| tokio::time::sleep(std::time::Duration::from_secs(seconds));

    let _open = subscribe(&mesh);
    mesh.apply(response(SERVICE, ADDRESS, &service("a:5000")));
    set("db.example.com", &["192.0.2.2", "192.0.2.1", "2001:db8::1"]);
    mesh.apply(response(
        ENDPOINTS,
        "a:5000",
        &endpoints(&[("db.example.com", 5432), ("192.0.2.1", 5432), ("192.0.2.9", 1)]),
    ));
    assert_eq!(led(&mesh), None, "held until DNS has answered");
    passes(1).await;
    let all = ["192.0.2.1:5432", "192.0.2.2:5432", "192.0.2.9:1"];
    assert_eq!(led(&mesh).unwrap(), all);
    set("db.example.com", &["2001:db8::1"]);
    passes(10).await;
    assert_eq!(led(&mesh).unwrap(), all, "not asked again yet");
    passes(30).await;
    assert_eq!(
        led(&mesh).unwrap(),
        ["[2001:db8::1]:5432", "192.0.2.1:5432", "192.0.2.9:1"]
    );
    dns.lock().unwrap().clear();
    passes(60).await;
    assert_eq!(led(&mesh).unwrap().len(), 3, "the last good answer stays");

    mesh.apply(response(
        ENDPOINTS,
        "a:5000",
        &endpoints(&[("late.example.com", 80)]),
    ));
    passes(1).await;
    assert_eq!(
        led(&mesh).unwrap(),
        [""; 0],
        "nothing there is nothing to wait for"
    );
    set("late.example.com", &["192.0.2.7"]);
    passes(3).await;
    assert_eq!(
        led(&mesh).unwrap(),
        ["192.0.2.7:80"],
        "asked for sooner than what is known"
    );
    assert_eq!(mesh.names_to_resolve().len(), 1, "what is not used is forgotten");
    mesh.apply(response(ENDPOINTS, "a:5000", &endpoints(&[("192.0.2.8", 80)])));
    assert_eq!(led(&mesh).unwrap(), ["192.0.2.8:80"]);
    let (_, refused) = mesh.apply(response(
        ENDPOINTS,
        "a:5000",
        &endpoints(&[("192.0.2.8", 70_000)]),
    ));
    assert!(
        refused[0]
            .to_string()
            .contains("192.0.2.8:70000 is not an address"),
        "{}",
        refused[0]
    );
}
