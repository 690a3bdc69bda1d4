//! ServiceEntries that have addresses, and external IPs.

use super::*;

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
