//! Which VirtualServices speak, of several for a host and across namespaces.

use super::*;

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
