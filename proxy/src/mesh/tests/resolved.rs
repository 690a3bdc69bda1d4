//! Endpoints that DNS has the addresses of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::*;

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
