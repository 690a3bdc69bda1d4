//! Destinations that only their names lead to.

use super::*;

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
