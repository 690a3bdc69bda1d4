//! Where an address or a name leads: headless services, ServiceEntries, aliases, and what a Sidecar lets a client see.

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

#[test]
fn a_pod_of_a_headless_service_is_reached_where_it_was_dialled() {
    let rule = object(
        "VirtualService",
        "default",
        "web",
        "{hosts: [web], http: [{match: [{uri: {prefix: /plain}}], route: [{destination: {host: plain}}]}, {route: [{destination: {host: web}}]}]}",
    );
    let subset = object(
        "VirtualService",
        "default",
        "plain",
        "{hosts: [plain], http: [{route: [{destination: {host: web, port: {number: 80}}}]}]}",
    );
    for (why, rules, address, expected) in [
        (
            "the pod's port",
            "",
            "10.1.0.1:8080",
            "web.default:80 http; http default -> as dialled",
        ),
        (
            "one that is not ready, as its peers dial it",
            "",
            "10.1.0.3:8080",
            "web.default:80 http; http default -> as dialled",
        ),
        (
            "bytes",
            "",
            "10.1.0.1:7000",
            "web.default:7000 tcp; tcp as dialled",
        ),
        (
            "the service's port is Istio's way",
            "",
            "10.1.0.1:80",
            "web.default:80 http; http default -> as dialled",
        ),
        ("another port of the pod", "", "10.1.0.1:9090", "-"),
        ("a pod of no headless service", "", "10.1.0.5:8080", "-"),
        (
            "rules of the service",
            &rule,
            "10.1.0.1:8080",
            "web.default:80 http; http VirtualService default/web http[0] -> plain.default:80; http VirtualService default/web http[1] -> as dialled",
        ),
        (
            "led there by another's rule there is nothing to go by but its endpoints",
            &subset,
            "10.0.0.1:80",
            "plain.default:80 http; http VirtualService default/plain http[0] -> web.default:80",
        ),
        (
            "two of them: the Host header says which",
            "",
            "10.1.0.2:8080",
            "web.default:80 http; http default -> as dialled; web is web.default:80; web-1.web is web.default:80; \
             web-1.web.default is web.default:80; web-1.web.default.svc is web.default:80; web-all is web-all.default:81; \
             web-all.default is web-all.default:81; web-all.default.svc is web-all.default:81; web.default is web.default:80; \
             web.default.svc is web.default:80",
        ),
    ] {
        assert_eq!(told(&world(rules), "default", address), expected, "{why}");
    }
}

#[test]
fn service_entries_with_addresses() {
    let db = |resolution: &str, more: &str| {
        se(
            "db",
            &format!(
                "{{hosts: [db.example.com], addresses: [240.0.0.1, 198.51.100.0/24], ports: [{{number: 5432, name: tcp, protocol: TCP, targetPort: 15432}}, {{number: 80, name: http, protocol: HTTP}}], resolution: {resolution}{more}}}"
            ),
        )
    };
    let endpoints = ", endpoints: [{address: 203.0.113.9, ports: {http: 8080}, weight: 3, labels: {v: '1'}}, {address: 203.0.113.8}]";
    let (host, web) = ("db.example.com:5432", "db.example.com:80");
    let tcp = "db.example.com:5432 tcp; tcp db.example.com:5432";
    for (why, entry, address, expected, of, at_endpoints) in [
        (
            "STATIC",
            db("STATIC", endpoints),
            "240.0.0.1:5432",
            tcp,
            host,
            "203.0.113.8:15432 203.0.113.9:15432*3",
        ),
        (
            "ports by name",
            db("STATIC", endpoints),
            "240.0.0.1:80",
            "db.example.com:80 http; http default -> db.example.com:80",
            web,
            "203.0.113.8:80 203.0.113.9:8080*3",
        ),
        (
            "a subset",
            db("STATIC", endpoints),
            "240.0.0.1:5433",
            "-",
            "db.example.com:80/v=1",
            "203.0.113.9:8080*3",
        ),
        (
            "DNS",
            db("DNS", ""),
            "198.51.100.77:5432",
            tcp,
            host,
            "db.example.com:15432",
        ),
        (
            "DNS endpoints",
            db(
                "DNS_ROUND_ROBIN",
                ", endpoints: [{address: Eu.Example.com}, {address: 203.0.113.8}]",
            ),
            "198.51.100.0:5432",
            tcp,
            host,
            "203.0.113.8:15432 eu.example.com:15432",
        ),
        (
            "NONE",
            db("NONE", ""),
            "198.51.100.77:5432",
            "db.example.com:5432 tcp; tcp as dialled",
            host,
            "",
        ),
        (
            "pods, by their labels",
            db("STATIC", ", workloadSelector: {labels: {app: vm}}"),
            "240.0.0.1:5432",
            tcp,
            "db.example.com:5432/tier=db",
            "10.1.0.5:15432",
        ),
        (
            "nothing to go to",
            db("STATIC", ""),
            "240.0.0.1:5432",
            tcp,
            host,
            "",
        ),
        (
            "what only is malformed has no effect",
            se(
                "db",
                "{hosts: ['*', db.example.com], addresses: [240.0.0.1, x], ports: [{number: 0, name: zero}, {number: 1, name: udp, protocol: UDP}, {number: 5432, name: tcp}], resolution: STATIC, endpoints: [{address: 'unix:///a'}, {address: b}, {address: 203.0.113.8}]}",
            ),
            "240.0.0.1:5432",
            tcp,
            host,
            "203.0.113.8:5432",
        ),
    ] {
        let world = world(&entry);
        assert_eq!(told(&world, "other", address), expected, "{why}");
        assert_eq!(at(&world, of), at_endpoints, "{why}");
        assert_eq!(told(&world, "other", "203.0.113.9:5432"), "-", "{why}");
    }
    let world = world(&db("DNS", ""));
    let own = workload(&world, world.pod(&Key::new("default", "vm")).unwrap(), None);
    assert_eq!(
        own.mesh_ranges,
        ["10.0.0.0/8", "198.51.100.0/24", "240.0.0.1/32", "192.0.2.7/32"]
    );
    assert_eq!(own.host_ports, [] as [u32; 0]);
    assert_eq!(
        told(&world, "default", "192.0.2.7:80"),
        "plain.default:80 http; http default -> plain.default:80",
        "external IPs"
    );
}

#[test]
fn names_without_addresses() {
    let entries = se(
        "api",
        "{hosts: [api.example.com, '*.cdn.example.com'], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: TLS}], resolution: NONE}",
    ) + &se(
        "other-port",
        "{hosts: [api.example.com], ports: [{number: 8080, name: http, protocol: HTTP}], resolution: DNS}",
    ) + &se(
        "mongo",
        "{hosts: [mongo.example.com], ports: [{number: 27017, name: mongo, protocol: MONGO}], resolution: DNS}",
    ) + &object(
        "ServiceEntry",
        "other",
        "api",
        "{hosts: [api.example.com], ports: [{number: 80, name: http}], resolution: STATIC, endpoints: [{address: 203.0.113.9}], exportTo: ['.']}",
    ) + &external_name("ext", "api.example.com.")
        + &external_name("away", "gone.example.org")
        + &external_name("inner", "plain.default.svc.cluster.local")
        + &object(
            "VirtualService",
            "default",
            "cdn",
            "{hosts: [a.cdn.example.com], http: [{route: [{destination: {host: ext}}]}]}",
        );
    let world = world(&entries);
    for (name, expected) in [
        (
            "*:443",
            "*:443 tcp; tls api.example.com -> as dialled; tls *.cdn.example.com -> as dialled; tcp as dialled",
        ),
        ("*:27017", "*:27017 tcp; tcp mongo.example.com:27017"),
        ("*:1", "-"),
        (
            "api.example.com:80",
            "api.example.com:80 http; http default -> as dialled",
        ),
        (
            "api.example.com:8080",
            "api.example.com:8080 http; http default -> as dialled",
        ),
        ("api.example.com:8081", "-"),
        ("cdn.example.com:80", "-"),
        (
            "b.cdn.example.com:80",
            "b.cdn.example.com:80 http; http default -> as dialled",
        ),
        (
            "a.cdn.example.com:80",
            "a.cdn.example.com:80 http; http VirtualService default/cdn http[0] -> as dialled",
        ),
        (
            "ext.default.svc.cluster.local:80",
            "api.example.com:80 http; http default -> as dialled",
        ),
        (
            "away.default.svc.cluster.local:80",
            "away.default:80 http; http default -> away.default:80",
        ),
        (
            "inner.default.svc.cluster.local:80",
            "plain.default:80 http; http default -> plain.default:80",
        ),
        ("nonsense", "-"),
        (":80", "-"),
    ] {
        assert_eq!(told(&world, "default", name), expected, "{name}");
    }
    let all = told(&world, "default", "*:80");
    for part in [
        "*:80 any; http allow_any -> as dialled; *.cdn.example.com is *.cdn.example.com:80; api.example.com is api.example.com:80;",
        "; ext is ext.default:80; ext.default is ext.default:80;",
        "; away.default.svc is away.default:80;",
        "; inner is inner.default:80;",
    ] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    assert_eq!(
        at(&world, "away.default.svc.cluster.local:80"),
        "gone.example.org:80"
    );
    assert_eq!(
        told(&world, "other", "api.example.com:80"),
        "api.example.com:80 http; http default -> api.example.com:80",
        "its own namespace's comes first"
    );
    let own = workload(&world, world.pod(&Key::new("default", "vm")).unwrap(), None);
    assert_eq!(own.host_ports, [80, 443, 8080, 27017]);
}

#[test]
fn what_a_client_sees() {
    let sidecar = |namespace: &str, name: &str, spec: &str| object("Sidecar", namespace, name, spec);
    let egress = |hosts: &str| format!("{{egress: [{{hosts: [{hosts}]}}]}}");
    let all = "plain 192 web db secret";
    for (why, sidecars, namespace, expected, policy) in [
        (
            "exportTo",
            String::new(),
            "default",
            "plain 192 web db",
            "ALLOW_ANY",
        ),
        ("its own", String::new(), "other", all, "ALLOW_ANY"),
        ("exported to it", String::new(), "friend", all, "ALLOW_ANY"),
        (
            "its own namespace",
            sidecar("default", "s", &egress("./*")),
            "default",
            "plain 192 web db",
            "ALLOW_ANY",
        ),
        (
            "of another namespace nothing is said",
            sidecar("other", "s", &egress("./*")),
            "friend",
            all,
            "ALLOW_ANY",
        ),
        (
            "a name of a namespace",
            sidecar("default", "s", &egress("default/plain.default.svc.cluster.local")),
            "default",
            "plain 192",
            "ALLOW_ANY",
        ),
        (
            "a wildcard of any namespace",
            sidecar("default", "s", &egress("'*/*.example.com'")),
            "default",
            "db",
            "ALLOW_ANY",
        ),
        (
            "nothing",
            sidecar("default", "s", &egress("~/*")),
            "default",
            "",
            "ALLOW_ANY",
        ),
        (
            "some pods only: not these",
            sidecar(
                "default",
                "s",
                "{workloadSelector: {labels: {app: wget}}, egress: [{hosts: [~/*]}]}",
            ),
            "default",
            "plain 192 web db",
            "ALLOW_ANY",
        ),
        (
            "these pods before the namespace",
            sidecar("default", "a", &egress("~/*"))
                + &sidecar(
                    "default",
                    "b",
                    "{workloadSelector: {labels: {app: curl}}, egress: [{hosts: ['*/db.example.com']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
                ),
            "default",
            "db",
            "REGISTRY_ONLY",
        ),
        (
            "the root namespace's is for all, and what it says and the nearer does not",
            sidecar(
                "outrigger-system",
                "default",
                "{egress: [{hosts: [~/*]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
            ) + &sidecar("default", "b", &egress("./web.default.svc.cluster.local")),
            "default",
            "web",
            "REGISTRY_ONLY",
        ),
        (
            "a port of its own",
            sidecar(
                "default",
                "s",
                "{egress: [{port: {number: 80, protocol: HTTP, name: x}, hosts: [./web.default.svc.cluster.local]}, {hosts: [./*]}]}",
            ),
            "default",
            "web db",
            "ALLOW_ANY",
        ),
        (
            "what is malformed means nothing",
            sidecar(
                "default",
                "s",
                &egress("plain.default.svc.cluster.local, ./web.default.svc.cluster.local"),
            ),
            "default",
            "web",
            "ALLOW_ANY",
        ),
    ] {
        let db = se(
            "db",
            "{hosts: [db.example.com], addresses: [240.0.0.1], ports: [{number: 5432, name: tcp}], resolution: DNS}",
        );
        let world = world(&(db + &sidecars));
        let seen: Vec<_> = [
            ("plain", "10.0.0.1:80"),
            ("192", "192.0.2.7:80"),
            ("web", "10.1.0.1:8080"),
            ("db", "240.0.0.1:5432"),
            ("secret", "10.0.0.9:80"),
        ]
        .into_iter()
        .filter(|(_, address)| told(&world, namespace, address) != "-")
        .map(|(name, _)| name)
        .collect();
        assert_eq!(seen.join(" "), expected, "{why}");
        let view_client = client(namespace);
        let registry_only = world.view(namespace, &view_client.labels).registry_only();
        assert_eq!(registry_only, policy == "REGISTRY_ONLY", "{why}");
    }
}

#[test]
fn what_no_sidecar_says_of_everything_else_is_the_meshs() {
    use crate::api::OutboundMode::{AllowAny, RegistryOnly};
    let policy = |text: &str| {
        object(
            "Sidecar",
            "default",
            "s",
            &format!("{{outboundTrafficPolicy: {text}}}"),
        )
    };
    for (sidecar, mesh, registry_only) in [
        (String::new(), AllowAny, false),
        (String::new(), RegistryOnly, true),
        (policy("{mode: ALLOW_ANY}"), RegistryOnly, false),
        (policy("{mode: REGISTRY_ONLY}"), AllowAny, true),
        (policy("{}"), RegistryOnly, true),
        (
            object("Sidecar", "default", "s", "{egress: [{hosts: ['*/*']}]}"),
            RegistryOnly,
            true,
        ),
    ] {
        let mut world = world(&sidecar);
        world.outbound_mode = mesh;
        let client = client("default");
        let view = world.view(&client.namespace, &client.labels);
        assert_eq!(view.registry_only(), registry_only, "{sidecar} {mesh:?}");
    }
}

#[test]
fn two_namespaces_may_have_a_host_each_for_itself() {
    let entry = |namespace: &str, address: &str, export: &str| {
        let spec = format!(
            "{{hosts: [api.example.com], addresses: [240.0.0.1], ports: [{{number: 80, name: http}}], resolution: STATIC, endpoints: [{{address: {address}}}], exportTo: ['{export}']}}"
        );
        object("ServiceEntry", namespace, "api", &spec)
    };
    let rule = object(
        "VirtualService",
        "third",
        "plain",
        "{hosts: [plain.default.svc.cluster.local], http: [{match: [{uri: {prefix: /s}}], route: [{destination: {host: secret.other.svc.cluster.local}}]}, {route: [{destination: {host: api.example.com}}]}]}",
    );
    let world = world(&(entry("default", "203.0.113.1", ".") + &entry("other", "203.0.113.2", ".") + &rule));
    let http = "api.example.com:80 http; http default -> api.example.com:80";
    for (namespace, dialled, of) in [
        ("default", http, "203.0.113.1:80"),
        ("other", http, "203.0.113.2:80"),
        ("third", "-", "-"),
    ] {
        assert_eq!(told(&world, namespace, "240.0.0.1:80"), dialled, "{namespace}");
        assert_eq!(
            told(&world, namespace, "api.example.com:80"),
            dialled,
            "{namespace}"
        );
        let seen = list(endpoints_for(&world, namespace, "api.example.com:80"));
        assert_eq!(seen, of, "{namespace}");
    }
    assert_eq!(
        told(&world, "third", "10.0.0.1:80"),
        "plain.default:80 http; http VirtualService third/plain http[0] -> nowhere; http VirtualService third/plain http[1] -> nowhere",
        "a rule leads to nothing that the client does not see by exportTo"
    );
}

#[test]
fn what_is_not_known_is_refused_by_name_too() {
    let world = world(
        &(se(
            "api",
            "{hosts: [api.example.com], ports: [{number: 80, name: http}], resolution: DNS}",
        ) + &object(
            "Sidecar",
            "default",
            "s",
            "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
        )),
    );
    assert_eq!(
        told(&world, "default", "*:80"),
        "*:80 any; http block_all -> 502; api.example.com is api.example.com:80; tcp nowhere"
    );
    let own = workload(&world, world.pod(&Key::new("default", "vm")).unwrap(), None);
    assert_eq!(own.outbound_policy(), mesh::OutboundPolicy::RegistryOnly);
}

#[test]
fn mistakes_are_named() {
    let objects = se(
        "a",
        "{hosts: ['*', 'a b', '*.dns.example.com', ok.example.com], addresses: [x, 240.0.0.0/4], ports: [{number: 70000, name: a}, {number: 80, name: b, protocol: CARRIER-PIGEON}, {number: 81, name: c, targetPort: 0}, {number: 81, name: d}, {number: 82, name: c}, {number: 53, name: dns, protocol: UDP}], resolution: DNS, subjectAltNames: [x], location: MESH_EXTERNAL, network: n}",
    ) + &se(
        "b",
        "{hosts: [b.example.com], ports: [{number: 80, name: http, targetPort: 8080}], resolution: NONE, endpoints: [{address: 1.1.1.1}]}",
    ) + &se(
        "c",
        "{hosts: [ok.example.com], ports: [{number: 9, name: tcp}], resolution: STATIC, endpoints: [{address: c.example.com, ports: {http: 1, tcp: 99999}, serviceAccount: x}]}",
    ) + &se(
        "d",
        "{hosts: [d.example.com], ports: [{number: 9, name: tcp}], resolution: STATIC}",
    ) + &se(
        "e",
        "{hosts: [e.example.com], ports: [{number: 9, name: tcp}], resolution: STATIC, workloadSelector: {labels: {app: none}}}",
    ) + &object(
        "Sidecar",
        "default",
        "s",
        "{ingress: [{port: {number: 80}}], egress: [{bind: 127.0.0.1, port: {number: 0}, hosts: [a]}, {hosts: []}]}",
    );
    let mut seen: Vec<_> = problems(&world(&objects))
        .into_iter()
        .map(|one| format!("{} {}: {}", one.object, one.field, one.problem))
        .collect();
    let expected = [
        "ServiceEntry default/a spec.addresses[0]: is neither an IP address nor a CIDR; it has no effect",
        "ServiceEntry default/a spec.hosts[0]: stands for every host, which no ServiceEntry may; it has no effect",
        "ServiceEntry default/a spec.hosts[1]: is not a DNS name; it has no effect",
        "ServiceEntry default/a spec.hosts[2]: is a wildcard, which cannot be resolved: resolution DNS needs endpoints for it; it has no effect",
        "ServiceEntry default/a spec.network: is not a field that is known here; it has no effect",
        "ServiceEntry default/a spec.ports[0].number: is not between 1 and 65535; it has no effect",
        "ServiceEntry default/a spec.ports[1].protocol: is not a protocol that Istio knows; it has no effect",
        "ServiceEntry default/a spec.ports[2].targetPort: is not between 1 and 65535; it has no effect",
        "ServiceEntry default/a spec.ports[3].number: is there twice; it has no effect",
        "ServiceEntry default/a spec.ports[4].name: is there twice; it has no effect",
        "ServiceEntry default/a spec.ports[5].protocol: UDP is not carried; the port has no effect",
        "ServiceEntry default/a spec.subjectAltNames: has no effect: names in certificates are those of a DestinationRule's tls.subjectAltNames",
        "ServiceEntry default/b spec.endpoints: resolution NONE leads to where the client dialled; it has no effect",
        "ServiceEntry default/b spec.ports[0].targetPort: has no effect: resolution NONE keeps the port that was dialled",
        "ServiceEntry default/c spec.endpoints[0].address: is not an IP address, which resolution STATIC needs; it has no effect",
        "ServiceEntry default/c spec.endpoints[0].ports.http: is not the name of one of the ports; it has no effect",
        "ServiceEntry default/c spec.endpoints[0].ports.tcp: is not between 1 and 65535; it has no effect",
        "ServiceEntry default/c spec.endpoints[0].serviceAccount: has no effect: there are no identities yet",
        "ServiceEntry default/c spec.hosts[0]: ok.example.com is also in ServiceEntry default/a, which is older: its resolution and exportTo are used",
        "ServiceEntry default/d spec.ports[0]: nothing in a TCP connection says that it is for d.example.com, and without spec.addresses all of port 9 are for e.example.com",
        "ServiceEntry default/d spec.resolution: STATIC needs endpoints or a workloadSelector; connections lead nowhere",
        "ServiceEntry default/e spec.workloadSelector: selects no pod with an address and no WorkloadEntry of this namespace; connections lead nowhere",
        "Sidecar default/s spec.egress[0].bind: is not a field that is known here; it has no effect",
        "Sidecar default/s spec.egress[0].hosts[0]: \"a\" is not NAMESPACE/HOST; it has no effect",
        "Sidecar default/s spec.egress[0].port.number: is not between 1 and 65535; it has no effect",
        "Sidecar default/s spec.egress[1].hosts: names no host, so that nothing is seen by it; it has no effect",
        "Sidecar default/s spec.ingress: is not a field that is known here; it has no effect",
    ];
    seen.sort();
    for (seen, expected) in seen.iter().zip(expected) {
        assert_eq!(seen, expected);
    }
    assert_eq!(seen.len(), expected.len(), "{seen:#?}");
}
