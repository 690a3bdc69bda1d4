//! Objects in, what a client is told out. Each row is one set of rules over the same cluster.

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
fn without_rules_a_service_leads_to_all_of_its_endpoints() {
    let world = world("");
    let far = client("nowhere", "");
    for (address, expected) in [
        ("10.0.0.1:5000", DEFAULT),
        (
            "10.0.0.1:6000",
            "helloworld.default:6000 | tcp helloworld.default:6000*1",
        ),
        (
            "10.0.0.1:7000",
            "helloworld.default:7000 | default -> helloworld.default:7000*1 | tcp helloworld.default:7000*1",
        ),
        ("10.0.0.3:5000", "far.other:5000 | default -> far.other:5000*1"),
        ("10.0.0.1:5001", "nothing"),
        ("10.0.0.9:5000", "nothing"),
        ("10.1.0.3:8080", "nothing"),
    ] {
        assert_eq!(told(&world, &far, address), expected, "{address}");
    }
}

/// Rules, the client's labels, and what it is told of helloworld:5000 after the host.
#[test]
fn virtual_services_of_one_namespace() {
    let http = |rules: &str| {
        vs(
            "default",
            "a",
            &format!("{{hosts: [helloworld], http: [{rules}]}}"),
        )
    };
    let rows: Vec<(&str, String, &str, &str)> = vec![
        (
            "sourceLabels select the client",
            http(&format!("{{match: [{{sourceLabels: {{app: curl}}}}], {V1}}}")),
            "app=curl tier=x",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "no route left for a client: as if there were no VirtualService",
            http(&format!("{{match: [{{sourceLabels: {{app: curl}}}}], {V1}}}")),
            "app=curl1",
            "default -> helloworld.default:5000*1",
        ),
        (
            "all labels are needed",
            http(&format!(
                "{{match: [{{sourceLabels: {{app: curl, tier: y}}}}], {V1}}}"
            )),
            "app=curl tier=x",
            "default -> helloworld.default:5000*1",
        ),
        (
            "conditions are kept in order, and what comes after a catch-all is dropped",
            http(&format!(
                "{{match: [{{uri: {{exact: /a}}, headers: {{X-B: {{prefix: b}}, c: {{}}}}}}, {{uri: {{regex: '/r.*'}}}}], {V1}}}, {{{V1}}}, {{match: [{{uri: {{exact: /never}}}}], {V1}}}"
            )),
            "",
            "VirtualService default/a http[0] [uri=/a and x-b^b and cpresent or uri~/r.*] -> helloworld.default:5000/version=v1*1 | VirtualService default/a http[1] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "a match for every path is a catch-all",
            http(&format!(
                "{{match: [{{uri: {{exact: /x}}}}, {{uri: {{prefix: /}}}}], {V1}}}, {{{V1}}}"
            )),
            "",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "weights, of which 0 is dropped",
            http(
                "{route: [{destination: {host: helloworld, subset: v1}, weight: 90}, {destination: {host: helloworld, subset: v2}, weight: 10}, {destination: {host: single}, weight: 0}]}",
            ),
            "",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*90 + helloworld.default:5000/version=v2*10",
        ),
        (
            "one destination has everything, whatever its weight",
            http("{route: [{destination: {host: single}, weight: 0}]}"),
            "",
            "VirtualService default/a http[0] -> single.default:80*1",
        ),
        (
            "several without weights",
            http("{route: [{destination: {host: single}}, {destination: {host: helloworld}}]}"),
            "",
            "VirtualService default/a http[0] -> 503(VirtualService default/a http[0] has several destinations and no weight above 0)*0",
        ),
        (
            "no destination",
            http("{timeout: 1s}"),
            "",
            "VirtualService default/a http[0] -> 503(VirtualService default/a http[0] has no route with a destination)*0",
        ),
        (
            "ports: the only one, the given one, the dialled one",
            http(
                "{match: [{uri: {exact: /1}}], route: [{destination: {host: single}}]}, {match: [{uri: {exact: /2}}], route: [{destination: {host: helloworld, port: {number: 7000}}}]}, {route: [{destination: {host: helloworld}}]}",
            ),
            "",
            "VirtualService default/a http[0] [uri=/1] -> single.default:80*1 | VirtualService default/a http[1] [uri=/2] -> helloworld.default:7000*1 | VirtualService default/a http[2] -> helloworld.default:5000*1",
        ),
        (
            "what is missing is said, and the other routes go on",
            http(&format!(
                "{{match: [{{uri: {{exact: /1}}}}], route: [{{destination: {{host: nobody}}}}]}}, {{match: [{{uri: {{exact: /2}}}}], route: [{{destination: {{host: helloworld, subset: v3}}}}]}}, {{match: [{{uri: {{exact: /3}}}}], route: [{{destination: {{host: single, port: {{number: 81}}}}}}]}}, {{{V1}}}"
            )),
            "",
            "VirtualService default/a http[0] [uri=/1] -> 503(there is no service nobody.default)*1 | VirtualService default/a http[1] [uri=/2] -> 503(subset v3 of helloworld.default is in no DestinationRule)*1 | VirtualService default/a http[2] [uri=/3] -> 503(service single.default has no port 81)*1 | VirtualService default/a http[3] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "a condition that is not known never holds",
            http(&format!("{{match: [{{methods: {{exact: GET}}}}], {V1}}}")),
            "",
            "VirtualService default/a http[0] [urinever] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "nor does a regular expression that does not compile, a header that is none, or an empty uri",
            http(&format!(
                "{{match: [{{uri: {{regex: '('}}}}, {{headers: {{'a b': {{exact: x}}}}}}, {{uri: {{}}}}, {{uri: {{exact: /ok}}}}], {V1}}}"
            )),
            "",
            "VirtualService default/a http[0] [urinever or urinever or urinever or uri=/ok] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "port and sourceNamespace are settled here",
            http(&format!(
                "{{match: [{{port: 7000}}], {V1}}}, {{match: [{{sourceNamespace: other}}], {V1}}}, {{match: [{{port: 5000, sourceNamespace: default, uri: {{exact: /}}}}], {V1}}}"
            )),
            "",
            "VirtualService default/a http[2] [uri=/] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "gateways of a match replace its source conditions",
            http(&format!(
                "{{match: [{{gateways: [edge]}}], {V1}}}, {{match: [{{gateways: [mesh], sourceLabels: {{app: x}}}}], {V1}}}"
            )),
            "app=y",
            "VirtualService default/a http[1] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "for gateways alone",
            vs(
                "default",
                "a",
                &format!("{{hosts: [helloworld], gateways: [edge], http: [{{{V1}}}]}}"),
            ),
            "",
            "default -> helloworld.default:5000*1",
        ),
        (
            "for gateways and the mesh",
            vs(
                "default",
                "a",
                &format!("{{hosts: [helloworld], gateways: [edge, mesh], http: [{{{V1}}}]}}"),
            ),
            "",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "a dotted name is what it says, and this is no service",
            vs(
                "default",
                "a",
                &format!("{{hosts: [helloworld.default], http: [{{{V1}}}]}}"),
            ),
            "",
            "default -> helloworld.default:5000*1",
        ),
        (
            "case does not matter",
            vs(
                "default",
                "a",
                &format!("{{hosts: [HelloWorld.default.svc.cluster.local], http: [{{{V1}}}]}}"),
            ),
            "",
            "VirtualService default/a http[0] -> helloworld.default:5000/version=v1*1",
        ),
        (
            "no http at all",
            vs("default", "a", "{hosts: [helloworld]}"),
            "",
            "default -> helloworld.default:5000*1",
        ),
    ];
    for (why, rules, labels, expected) in rows {
        let seen = told(&world(&rules), &client("default", labels), "10.0.0.1:5000");
        assert_eq!(seen, format!("helloworld.default:5000 | {expected}"), "{why}");
    }
}

#[test]
fn virtual_services_that_compete() {
    let dated = |name: &str, created: &str, spec: &str| {
        vs("default", name, spec).replace(
            &format!("{{name: {name},"),
            &format!("{{name: {name}, creationTimestamp: '{created}',"),
        )
    };
    let to = |host: &str, subset: &str| {
        format!(
            "{{hosts: ['{host}'], http: [{{route: [{{destination: {{host: helloworld, subset: {subset}}}}}]}}]}}"
        )
    };
    let (own, wide, wider) = ("helloworld", "*.default.svc.cluster.local", "*.local");
    let (old, new) = ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
    let only_curl =
        format!("{{hosts: [helloworld], http: [{{match: [{{sourceLabels: {{app: curl}}}}], {V1}}}]}}");
    for (why, rules, expected) in [
        (
            "the oldest wins",
            [dated("a", new, &to(own, "v1")), dated("b", old, &to(own, "v2"))],
            "b v2",
        ),
        (
            "then the name",
            [dated("b", old, &to(own, "v1")), dated("a", old, &to(own, "v2"))],
            "a v2",
        ),
        (
            "a host beats a wildcard, however old",
            [dated("a", old, &to(wide, "v1")), dated("b", new, &to(own, "v2"))],
            "b v2",
        ),
        (
            "a wildcard speaks alone",
            [dated("a", old, &to(wide, "v1")), String::new()],
            "a v1",
        ),
        (
            "the longer wildcard wins",
            [
                dated("a", old, &to(wider, "v1")),
                dated("b", new, &to(wide, "v2")),
            ],
            "b v2",
        ),
        (
            "one that has nothing for the client does not block the next",
            [dated("a", old, &only_curl), dated("b", new, &to(own, "v2"))],
            "b v2",
        ),
    ] {
        let (name, version) = expected.split_once(' ').unwrap();
        let seen = told(
            &world(&rules.concat()),
            &client("default", "app=other"),
            "10.0.0.1:5000",
        );
        assert_eq!(
            seen,
            format!(
                "helloworld.default:5000 | VirtualService default/{name} http[0] -> helloworld.default:5000/version={version}*1"
            ),
            "{why}"
        );
    }
}

#[test]
fn rules_across_namespaces() {
    let host = "helloworld.default.svc.cluster.local";
    let rule = |namespace: &str, export: &str| {
        vs(
            namespace,
            "a",
            &format!(
                "{{hosts: [{host}], exportTo: [{export}], http: [{{route: [{{destination: {{host: {host}, subset: v1}}}}]}}]}}"
            ),
        )
    };
    for (why, rule, client_namespace, applies) in [
        (
            "the service's namespace speaks to everybody",
            rule("default", ""),
            "other",
            true,
        ),
        ("to itself", rule("default", "'.'"), "default", true),
        (
            "exportTo . is for its own clients",
            rule("default", "'.'"),
            "other",
            false,
        ),
        (
            "exportTo names namespaces",
            rule("default", "other"),
            "other",
            true,
        ),
        ("and no others", rule("default", "other"), "third", false),
        (
            "another namespace speaks for its own clients",
            rule("other", "'*'"),
            "other",
            true,
        ),
        (
            "but cannot take over those of the service",
            rule("other", "'*'"),
            "default",
            false,
        ),
        ("nor of anybody else", rule("other", "'*'"), "third", false),
    ] {
        let seen = told(&world(&rule), &client(client_namespace, ""), "10.0.0.1:5000");
        assert_eq!(seen.contains("VirtualService"), applies, "{why}: {seen}");
    }
}

#[test]
fn destination_rules() {
    let host = "helloworld.default.svc.cluster.local";
    let to = |subset: &str| {
        vs(
            "default",
            "a",
            &format!(
                "{{hosts: [helloworld], http: [{{route: [{{destination: {{host: helloworld, subset: {subset}}}}}]}}]}}"
            ),
        )
    };
    let policy = |lb: &str| format!("trafficPolicy: {{loadBalancer: {{simple: {lb}}}}}");
    let rows = [
        (
            "subsets of several rules are put together",
            to("v9")
                + &dr(
                    "default",
                    "z",
                    "{host: helloworld, subsets: [{name: v9, labels: {a.b/c: d, x: 'y'}}]}",
                ),
            "default",
            "helloworld.default:5000/a.b/c=d,x=y*1",
        ),
        (
            "a subset without labels is everything",
            to("all") + &dr("default", "z", "{host: helloworld, subsets: [{name: all}]}"),
            "default",
            "helloworld.default:5000*1",
        ),
        (
            "the client's namespace comes first, and alone",
            to("v1")
                + &dr(
                    "other",
                    "z",
                    &format!("{{host: {host}, subsets: [{{name: v2}}]}}"),
                ),
            "other",
            "503(subset v1 of helloworld.default is in no DestinationRule)*1",
        ),
        (
            "a third namespace says nothing",
            to("v1") + &dr("third", "z", &format!("{{host: {host}, {}}}", policy("RANDOM"))),
            "other",
            "helloworld.default:5000/version=v1*1",
        ),
        (
            "the host's policy",
            dr(
                "default",
                "a",
                &format!("{{host: helloworld, {}}}", policy("ROUND_ROBIN")),
            ),
            "default",
            "helloworld.default:5000*1 in turn",
        ),
        (
            "the subset's before the host's",
            to("r")
                + &dr(
                    "default",
                    "a",
                    &format!(
                        "{{host: helloworld, {}, subsets: [{{name: r, {}}}]}}",
                        policy("ROUND_ROBIN"),
                        policy("RANDOM")
                    ),
                ),
            "default",
            "helloworld.default:5000*1 at random",
        ),
        (
            "a rule for some clients only is none",
            dr(
                "default",
                "a",
                &format!(
                    "{{host: helloworld, workloadSelector: {{matchLabels: {{a: b}}}}, {}}}",
                    policy("RANDOM")
                ),
            ),
            "default",
            "helloworld.default:5000*1",
        ),
        (
            "wildcards",
            dr(
                "other",
                "a",
                &format!("{{host: '*.svc.cluster.local', {}}}", policy("RANDOM")),
            ),
            "other",
            "helloworld.default:5000*1 at random",
        ),
    ];
    for (why, rules, namespace, expected) in rows {
        let seen = told(&world(&rules), &client(namespace, ""), "10.0.0.1:5000");
        assert_eq!(seen.split_once(" -> ").unwrap().1, expected, "{why}");
    }
}

#[test]
fn endpoints_are_ready_selected_and_sorted() {
    let world = world("");
    let host = "helloworld.default.svc.cluster.local";
    for (name, expected) in [
        (
            format!("{host}:5000"),
            Some("10.1.0.3:8080 10.1.0.4:8080(ending) 10.1.0.5:8080 10.1.0.20:8080"),
        ),
        (format!("{host}:5000/version=v1"), Some("10.1.0.3:8080")),
        (
            format!("{host}:5000/app=helloworld,version=v2"),
            Some("10.1.0.20:8080"),
        ),
        (format!("{host}:5000/version=v3"), Some("")),
        (
            format!("{host}:6000"),
            Some("10.1.0.3:6001 10.1.0.4:6001(ending) 10.1.0.5:6001 10.1.0.20:6001"),
        ),
        (format!("{host}:7000"), Some("")),
        (format!("{host}:5001"), None),
        (format!("{host}:5000/version"), None),
        ("nobody.default.svc.cluster.local:80".to_owned(), None),
        ("helloworld".to_owned(), None),
    ] {
        let seen = endpoints(&world, &name).map(|endpoints| {
            let all = endpoints.endpoints.iter();
            let ending = |endpoint: &mesh::Endpoint| if endpoint.terminating { "(ending)" } else { "" };
            all.map(|endpoint| format!("{}:{}{}", endpoint.address, endpoint.port, ending(endpoint)))
                .collect::<Vec<_>>()
                .join(" ")
        });
        assert_eq!(seen.as_deref(), expected, "{name}");
        assert_eq!(
            host_of_endpoints(&name).is_some(),
            name.contains(":") && !name.ends_with("/version")
        );
    }
}

#[test]
fn endpoints_are_of_the_services_first_family() {
    let world = world(
        "{apiVersion: v1, kind: Service, metadata: {name: six}, spec: {clusterIP: 'fd01::1', clusterIPs: ['fd01::1', 10.0.0.4], ports: [{name: http, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: six-4, labels: {kubernetes.io/service-name: six}}, addressType: IPv4, ports: [{name: http, port: 80}], endpoints: [{addresses: [10.1.0.9]}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: six-6, labels: {kubernetes.io/service-name: six}}, addressType: IPv6, ports: [{name: http, port: 80}], endpoints: [{addresses: ['fd02::9']}]}
",
    );
    let expected = vec![mesh::Endpoint {
        address: "fd02::9".to_owned(),
        port: 80,
        ..Default::default()
    }];
    assert_eq!(
        endpoints(&world, "six.default.svc.cluster.local:80")
            .unwrap()
            .endpoints,
        expected
    );
    for address in ["[fd01::1]:80", "10.0.0.4:80"] {
        assert_eq!(
            told(&world, &client("default", ""), address),
            "six.default:80 | default -> six.default:80*1"
        );
    }
}

#[test]
fn a_pod_is_told_of_its_own_ports() {
    let world = world("");
    let pod = world.pod(&Key::new("default", "v1")).unwrap();
    let told = workload(&world, pod, None);
    assert_eq!((told.namespace.as_str(), told.name.as_str()), ("default", "v1"));
    let labels: BTreeMap<_, _> = told
        .labels
        .iter()
        .map(|(l, v)| (l.as_str(), v.as_str()))
        .collect();
    assert_eq!(labels, BTreeMap::from([("app", "helloworld"), ("version", "v1")]));
    let ports: Vec<_> = told
        .inbound_ports
        .iter()
        .map(|port| (port.port, port.protocol()))
        .collect();
    assert_eq!(ports, [(6001, mesh::Protocol::Tcp), (8080, mesh::Protocol::Http)]);
    assert_eq!(told.mesh_ranges, ["10.0.0.0/8"]);
}

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
