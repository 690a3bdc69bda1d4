//! Which DestinationRules speak, and what of them for a subset.

use super::*;

/// The host's policy, the subset's, and what is told of each port of the subset.
#[test]
fn a_subsets_policy_goes_over_the_hosts() {
    for (host, subset, expected, admin) in [
        ("loadBalancer: {simple: RANDOM}", "", "random", "random"),
        (
            "loadBalancer: {simple: RANDOM}",
            "loadBalancer: {simple: ROUND_ROBIN}",
            "turn",
            "turn",
        ),
        (
            "loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 1}}",
            "connectionPool: {http: {maxRetries: 2}}",
            "random, retries 2",
            "random, retries 2",
        ),
        (
            "portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]",
            "connectionPool: {tcp: {maxConnections: 1}}",
            "least, connections 1",
            "random, connections 1",
        ),
        (
            "loadBalancer: {simple: RANDOM}",
            "portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]",
            "least",
            "random",
        ),
    ] {
        let policy = match subset {
            "" => String::new(),
            subset => format!(", trafficPolicy: {{{subset}}}"),
        };
        let rule = dr(
            "default",
            "a",
            &format!("{{host: a, trafficPolicy: {{{host}}}, subsets: [{{name: v1{policy}}}]}}"),
        );
        let world = world(&rule);
        let own = client("default", &[]);
        for (address, expected) in [("10.0.0.1:80", expected), ("10.0.0.1:81", admin)] {
            let service = service(&world, &own, address.parse().unwrap()).unwrap();
            let backend = &service.http_routes[0].backends[0];
            let port = address.rsplit(':').next().unwrap();
            assert_eq!(
                backend.cluster,
                format!("outbound|{port}|v1|a.default.svc.cluster.local")
            );
            assert_eq!(render(backend), expected, "{host} / {subset} at {address}");
        }
    }
}

#[test]
fn which_rules_speak() {
    let lb = |simple: &str| format!("trafficPolicy: {{loadBalancer: {{simple: {simple}}}}}");
    let full = "host: a.default.svc.cluster.local";
    let own = dr("other", "own", &format!("{{{full}, {}}}", lb("RANDOM")));
    let of_service = dr(
        "default",
        "of-service",
        &format!("{{host: a, {}}}", lb("ROUND_ROBIN")),
    );
    let private = dr(
        "default",
        "private",
        &format!("{{host: a, exportTo: ['.'], {}}}", lb("ROUND_ROBIN")),
    );
    let root = dr(
        "outrigger-system",
        "root",
        &format!("{{host: '*.default.svc.cluster.local', {}}}", lb("PASSTHROUGH")),
    );
    let third = dr("third", "third", &format!("{{{full}, {}}}", lb("RANDOM")));
    let selected = |label: &str, simple: &str| {
        dr(
            "other",
            "selected",
            &format!(
                "{{{full}, workloadSelector: {{matchLabels: {{app: {label}}}}}, {}}}",
                lb(simple)
            ),
        )
    };
    let curl = &[("app", "curl")][..];
    for (why, rules, namespace, labels, expected) in [
        ("none", String::new(), "other", curl, "least"),
        (
            "the client's namespace first",
            own.clone() + &of_service + &root,
            "other",
            curl,
            "random",
        ),
        (
            "then the service's",
            of_service.clone() + &root,
            "other",
            curl,
            "turn",
        ),
        (
            "unless it keeps it to itself",
            private.clone() + &root,
            "other",
            curl,
            "dialled",
        ),
        (
            "which its own clients follow",
            private.clone() + &root,
            "default",
            curl,
            "turn",
        ),
        ("then the root", root.clone() + &third, "other", curl, "dialled"),
        ("no other namespace", third, "other", curl, "least"),
        (
            "a rule for these pods before one for all",
            own.clone() + &selected("curl", "PASSTHROUGH"),
            "other",
            curl,
            "dialled",
        ),
        (
            "not for other pods",
            own.clone() + &selected("wget", "PASSTHROUGH"),
            "other",
            curl,
            "random",
        ),
        (
            "only other pods: the next namespace",
            selected("wget", "PASSTHROUGH") + &of_service,
            "other",
            curl,
            "turn",
        ),
        (
            "a selector of another namespace is for nobody here",
            dr(
                "default",
                "s",
                &format!(
                    "{{host: a, workloadSelector: {{matchLabels: {{app: curl}}}}, {}}}",
                    lb("RANDOM")
                ),
            ),
            "other",
            curl,
            "least",
        ),
        (
            "a host before a wildcard, however the rules are called",
            dr(
                "default",
                "a",
                &format!("{{host: '*.default.svc.cluster.local', {}}}", lb("RANDOM")),
            ) + &of_service,
            "default",
            curl,
            "turn",
        ),
        (
            "the first that has a policy",
            dr("default", "a", "{host: a, subsets: [{name: v1}]}")
                + &of_service
                + &dr("default", "z", &format!("{{host: a, {}}}", lb("RANDOM"))),
            "default",
            curl,
            "turn",
        ),
    ] {
        let world = world(&rules);
        assert_eq!(
            render(&told(&world, &client(namespace, labels), "10.0.0.1:80")),
            expected,
            "{why}"
        );
    }
}
