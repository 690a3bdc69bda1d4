//! What the Host header or the server name of TLS means, where no address does.

use super::*;

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
