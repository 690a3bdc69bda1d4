//! Objects in, what a client is told out. Each row is one set of rules over the same cluster.

mod destination_rules;
mod endpoints;
mod precedence;
mod virtual_services;

use std::collections::BTreeMap;

use outrigger_proxy::protocol::mesh;
use outrigger_proxy::protocol::mesh::string_match::Kind;

use super::*;
use crate::control::directory::{documents, events};
use crate::control::world::Key;

/// Two services in `default`, one in `other`; the pods behind `helloworld` have versions.
const CLUSTER: &str = "
{apiVersion: v1, kind: Service, metadata: {name: helloworld}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 5000}, {name: tcp-raw, port: 6000}, {name: any, port: 7000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: single}, spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: far, namespace: other}, spec: {clusterIP: 10.0.0.3, ports: [{name: grpc, port: 5000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: helloworld-1, labels: {kubernetes.io/service-name: helloworld}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: tcp-raw, port: 6001}]
endpoints:
- {addresses: [10.1.0.20], conditions: {ready: true}, targetRef: {kind: Pod, name: v2, namespace: default}}
- {addresses: [10.1.0.3], targetRef: {kind: Pod, name: v1, namespace: default}}
- {addresses: [10.1.0.4], conditions: {ready: false, serving: true, terminating: true}, targetRef: {kind: Pod, name: gone, namespace: default}}
- {addresses: [10.1.0.5], conditions: {ready: true}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: helloworld-2, labels: {kubernetes.io/service-name: helloworld}}
addressType: IPv6
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: ['fd00::3'], targetRef: {kind: Pod, name: v1, namespace: default}}
---
{apiVersion: v1, kind: Pod, metadata: {name: v1, uid: u1, labels: {app: helloworld, version: v1}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: v2, uid: u2, labels: {app: helloworld, version: v2}}}
---
";

const SUBSETS: &str = "
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: helloworld}, spec: {host: helloworld, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}}
---
";

fn world(rules: &str) -> World {
    let text = format!("{CLUSTER}{SUBSETS}{rules}");
    let documents = documents(&[("test.yaml".to_owned(), text)]).unwrap();
    let mut world = World::new("cluster.local".to_owned(), vec!["10.0.0.0/8".parse().unwrap()]);
    for event in events(&documents).unwrap() {
        world.apply(event);
    }
    world
}

/// A VirtualService in a namespace, written by its spec; rules of one test are of growing age by name.
fn vs(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}, namespace: {namespace}}}, spec: {spec}}}\n---\n"
    )
}

fn dr(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: {name}, namespace: {namespace}}}, spec: {spec}}}\n---\n"
    )
}

fn short(text: &str) -> String {
    text.replace(".svc.cluster.local", "")
}

fn backend(backend: &mesh::Backend) -> String {
    let to = if backend.endpoints.is_empty() {
        format!("503({})", backend.unavailable)
    } else {
        assert_eq!(backend.unavailable, "");
        backend.endpoints.clone()
    };
    let picked = match backend.load_balancer() {
        mesh::LoadBalancer::LeastRequest => "",
        mesh::LoadBalancer::RoundRobin => " in turn",
        mesh::LoadBalancer::Random => " at random",
    };
    short(&format!("{to}*{}{picked}", backend.weight))
}

fn text(text: Option<&mesh::StringMatch>) -> String {
    match text.and_then(|text| text.kind.as_ref()) {
        None => "present".to_owned(),
        Some(Kind::Exact(value)) => format!("={value}"),
        Some(Kind::Prefix(value)) => format!("^{value}"),
        Some(Kind::Regex(value)) if value == r"[^\s\S]" => "never".to_owned(),
        Some(Kind::Regex(value)) => format!("~{value}"),
    }
}

/// `helloworld.default:5000 http | NAME [CONDITION or CONDITION] -> BACKEND + BACKEND | tcp BACKEND`
fn render(service: &mesh::Service) -> String {
    let mut parts = vec![format!("{}:{}", short(&service.host), service.port)];
    for route in &service.http_routes {
        let matches: Vec<_> = route
            .matches
            .iter()
            .map(|one| {
                let uri = one.uri.iter().map(|uri| format!("uri{}", text(Some(uri))));
                let headers = one
                    .headers
                    .iter()
                    .map(|header| format!("{}{}", header.name, text(header.value.as_ref())));
                uri.chain(headers).collect::<Vec<_>>().join(" and ")
            })
            .collect();
        let matches = if matches.is_empty() {
            String::new()
        } else {
            format!(" [{}]", matches.join(" or "))
        };
        let backends: Vec<_> = route.backends.iter().map(backend).collect();
        parts.push(format!("{}{matches} -> {}", route.name, backends.join(" + ")));
    }
    parts.extend(
        service
            .tcp_backends
            .iter()
            .map(|to| format!("tcp {}", backend(to))),
    );
    parts.join(" | ")
}

fn client(namespace: &str, labels: &str) -> Client {
    let labels = labels
        .split_whitespace()
        .filter_map(|label| label.split_once('='));
    let labels = labels
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .collect();
    Client {
        namespace: namespace.to_owned(),
        labels,
    }
}

fn told(world: &World, client: &Client, address: &str) -> String {
    service(world, client, address.parse().unwrap())
        .as_ref()
        .map_or("nothing".to_owned(), render)
}

const DEFAULT: &str = "helloworld.default:5000 | default -> helloworld.default:5000*1";
const V1: &str = "route: [{destination: {host: helloworld, subset: v1}}]";

#[test]
fn problems_name_object_and_field() {
    let rules = vs(
        "default",
        "a",
        "{hosts: [helloworld, example.com, typo], tsl: [], http: [{timeout: '1', match: [{uri: {regex: '('}}], route: [{destination: {host: helloworld, subset: v3}}]}, {timout: 1s}]}",
    ) + &dr(
        "default",
        "b",
        "{host: helloworld, trafficPolicy: {tsl: {mode: DISABLE}}}",
    );
    let seen: Vec<_> = problems(&world(&rules))
        .into_iter()
        .map(|problem| {
            short(&format!(
                "{:?} {} {}: {}",
                problem.severity, problem.object, problem.field, problem.problem
            ))
        })
        .collect();
    assert_eq!(
        seen,
        [
            "Warning DestinationRule default/b spec.trafficPolicy.tsl: is not a field that is known here; it has no effect",
            "Error VirtualService default/a spec.http[0].match[0].uri: regex \"(\": error: unclosed group; this match never holds",
            "Error VirtualService default/a spec.http[0].timeout: \"1\" is not a duration; write for instance 1.5s, 100ms or 1h30m; it has no effect",
            "Error VirtualService default/a spec.http[1]: needs a route, a redirect, a directResponse or a delegate; requests for it are answered with 503",
            "Warning VirtualService default/a spec.hosts[1]: example.com is neither the full name of a Kubernetes service nor a host of a ServiceEntry that is seen here, so that nothing is routed by it",
            "Warning VirtualService default/a spec.hosts[2]: there is no service typo.default",
            "Warning VirtualService default/a spec.http[0].route[0].destination: subset v3 of helloworld.default is in no DestinationRule; requests for it are answered with 503",
            "Warning VirtualService default/a spec.http[1].timout: is not a field that is known here; it has no effect",
            "Warning VirtualService default/a spec.tsl: is not a field that is known here; it has no effect",
        ]
    );
}
