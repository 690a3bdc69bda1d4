//! What a client sees by exportTo and by its Sidecar, and what becomes of everything else.

use super::*;

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
