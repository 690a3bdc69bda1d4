//! Where an address or a name leads: headless services, ServiceEntries, aliases, and what a Sidecar lets a client see.

mod addresses;
mod headless;
mod mistakes;
mod names;
mod sidecars;

use std::collections::BTreeMap;

use outrigger_proxy::protocol::mesh;

use crate::control::compile::{Client, endpoints, endpoints_for, problems, resource, workload};
use crate::control::directory::{documents, events};
use crate::control::world::{Key, World};

const CLUSTER: &str = "
{apiVersion: v1, kind: Service, metadata: {name: plain}, spec: {clusterIP: 10.0.0.1, externalIPs: [192.0.2.7], ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: None, ports: [{name: http, port: 80}, {name: tcp-peer, port: 7000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web-all}, spec: {clusterIP: None, ports: [{name: http, port: 81}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: secret, namespace: other, annotations: {networking.istio.io/exportTo: '., friend'}}, spec: {clusterIP: 10.0.0.9, ports: [{name: http, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: tcp-peer, port: 7000}]
endpoints:
- {addresses: [10.1.0.1], hostname: web-0, targetRef: {kind: Pod, name: web-0}}
- {addresses: [10.1.0.2], hostname: web-1, targetRef: {kind: Pod, name: web-1}}
- {addresses: [10.1.0.3], conditions: {ready: false}, targetRef: {kind: Pod, name: web-2}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-all-1, labels: {kubernetes.io/service-name: web-all}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.1.0.2], targetRef: {kind: Pod, name: web-1}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: plain-1, labels: {kubernetes.io/service-name: plain}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.1.0.5], targetRef: {kind: Pod, name: vm}}, {addresses: [203.0.113.5]}]
---
{apiVersion: v1, kind: Pod, metadata: {name: web-0, labels: {app: web}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, labels: {app: web, version: v1}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: vm, labels: {app: vm, tier: db}}}
---
";

fn world(objects: &str) -> World {
    let text = format!("{CLUSTER}{objects}");
    let documents = documents(&[("test.yaml".to_owned(), text)]).unwrap();
    let mut world = World::new("cluster.local".to_owned(), vec!["10.0.0.0/8".parse().unwrap()]);
    for event in events(&documents).unwrap() {
        world.apply(event);
    }
    world
}

fn object(kind: &str, namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1beta1, kind: {kind}, metadata: {{name: {name}, namespace: {namespace}}}, spec: {spec}}}\n---\n"
    )
}

fn se(name: &str, spec: &str) -> String {
    object("ServiceEntry", "default", name, spec)
}

fn external_name(name: &str, to: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{type: ExternalName, externalName: {to}, ports: [{{name: http, port: 80}}]}}}}\n---\n"
    )
}

fn client(namespace: &str) -> Client {
    Client {
        namespace: namespace.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), "curl".to_owned())]),
    }
}

fn backend(one: &mesh::Backend) -> String {
    match (one.original_destination, one.unavailable.is_empty()) {
        (true, _) => "as dialled".to_owned(),
        (false, true) => one.endpoints.clone(),
        (false, false) => "nowhere".to_owned(),
    }
}

/// `HOST:PORT PROTOCOL; http ROUTE -> BACKEND; NAME is RESOURCE; tls SNI -> BACKEND; tcp BACKEND`, what there is of it.
fn render(service: &mesh::Service) -> String {
    let protocol = match service.protocol() {
        mesh::Protocol::Http => "http",
        mesh::Protocol::Tcp => "tcp",
        mesh::Protocol::Unspecified => "any",
    };
    let mut parts = vec![format!("{}:{} {protocol}", service.host, service.port)];
    for route in &service.http_routes {
        let to: Vec<_> = match &route.instead {
            Some(mesh::http_route::Instead::DirectResponse(direct)) => vec![direct.status.to_string()],
            Some(other) => panic!("{other:?}"),
            None => route.backends.iter().map(backend).collect(),
        };
        parts.push(format!("http {} -> {}", route.name, to.join(" + ")));
    }
    // The full names are shortened like all others.
    let short = |name: &String| name.replace(".svc.cluster.local", "");
    let hosts: BTreeMap<_, _> = service.hosts.iter().map(|(name, to)| (short(name), to)).collect();
    parts.extend(hosts.iter().map(|(name, to)| format!("{name} is {to}")));
    for route in &service.tls_routes {
        let to: Vec<_> = route.backends.iter().map(backend).collect();
        parts.push(format!("tls {} -> {}", route.sni_hosts.join(","), to.join(" + ")));
    }
    parts.extend(
        service
            .tcp_backends
            .iter()
            .map(|to| format!("tcp {}", backend(to))),
    );
    parts.join("; ").replace(".svc.cluster.local", "")
}

fn told(world: &World, namespace: &str, name: &str) -> String {
    resource(world, &client(namespace), name).map_or_else(|| "-".to_owned(), |answer| render(&answer.service))
}

fn at(world: &World, name: &str) -> String {
    list(endpoints(world, name))
}

fn list(found: Option<mesh::Endpoints>) -> String {
    let Some(found) = found else {
        return "-".to_owned();
    };
    let one = |one: &mesh::Endpoint| match one.weight {
        0 => format!("{}:{}", one.address, one.port),
        weight => format!("{}:{}*{weight}", one.address, one.port),
    };
    found.endpoints.iter().map(one).collect::<Vec<_>>().join(" ")
}
