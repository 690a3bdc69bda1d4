//! What Services and endpoints say themselves, and what is wrong with a rule in its surroundings.

use super::*;

#[test]
fn what_a_service_says_itself() {
    let rule = |spec: &str| dr("default", "r", spec);
    for (rules, address, expected) in [
        (String::new(), "10.0.0.2:80", "least, hash source true, near zone"),
        (String::new(), "10.0.0.3:80", "least, near node, own node"),
        (
            rule("{host: b, trafficPolicy: {loadBalancer: {simple: RANDOM}}}"),
            "10.0.0.2:80",
            "random, near zone",
        ),
        (
            rule("{host: b, trafficPolicy: {loadBalancer: {localityLbSetting: {failoverPriority: [app]}}}}"),
            "10.0.0.2:80",
            "least, hash source true, near app",
        ),
    ] {
        let world = world(&rules);
        assert_eq!(
            render(&told(&world, &client("default", &[]), address)),
            expected,
            "{rules}"
        );
    }
}

#[test]
fn endpoints_say_where_they_are_and_whether_they_end() {
    let rule = dr(
        "default",
        "a",
        "{host: a, trafficPolicy: {loadBalancer: {localityLbSetting: {failoverPriority: ['version=v1', kubernetes.io/hostname]}}}}",
    );
    let world = world(&format!("{ENDPOINTS}{rule}"));
    let locality = |region: &str, zone: &str, subzone: &str| mesh::Locality {
        region: region.into(),
        zone: zone.into(),
        subzone: subzone.into(),
    };
    let endpoint = |address: &str, place: mesh::Locality, version: &str| mesh::Endpoint {
        address: address.into(),
        port: 8080,
        locality: Some(place),
        labels: [("version".to_owned(), version.to_owned())].into(),
        ..Default::default()
    };
    assert_eq!(
        endpoints(&world, "a.default.svc.cluster.local:80")
            .unwrap()
            .endpoints,
        [
            mesh::Endpoint {
                node: "n1".into(),
                ..endpoint("10.1.0.1", locality("eu", "z1", ""), "v1")
            },
            mesh::Endpoint {
                terminating: true,
                ..endpoint("10.1.0.2", locality("us", "west", "rack1"), "v2")
            },
        ]
    );
    let own = workload(&world, world.pod(&Key::new("default", "one")).unwrap(), None);
    assert_eq!(
        (own.locality, own.node.as_str()),
        (Some(locality("eu", "z1", "")), "n1")
    );
    // A pod behind no service is where its token says.
    let alone = workload(&world, &Pod::default(), Some("n1"));
    assert_eq!(
        (alone.locality, alone.node.as_str()),
        (Some(locality("eu", "", "")), "n1")
    );
}

#[test]
fn what_is_wrong_with_a_rule_and_its_surroundings_is_said() {
    let rules = ENDPOINTS.to_owned()
        + &dr(
            "default",
            "a",
            "{host: a, trafficPolicy: {tls: {mode: MUTUAL}, portLevelSettings: [{port: {number: 82}, loadBalancer: {simple: RANDOM}}]}, subsets: [{name: v1, labels: {version: v1}}, {name: v9, labels: {version: v9}}]}",
        )
        + &dr(
            "default",
            "b",
            "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1}]}",
        )
        + &dr(
            "default",
            "typo",
            "{host: nobody, trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
        );
    let mut seen: Vec<_> = problems(&world(&rules))
        .into_iter()
        .filter(|problem| problem.kind == "DestinationRule")
        .map(|problem| format!("{} {}: {}", problem.key.name, problem.field, problem.problem))
        .map(|line| line.replace(".svc.cluster.local", ""))
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "a spec.subsets[1].labels: no endpoint of a.default has them; requests for it are answered with 503",
            "a spec.trafficPolicy.portLevelSettings[0].port.number: service a.default has no port 82; it has no effect",
            "a spec.trafficPolicy.tls.mode: MUTUAL is not supported: there are no client certificates; requests for it are answered with 503",
            "b spec.subsets[0].name: DestinationRule default/a defines v1 too, and is older: its subset is used",
            "b spec.trafficPolicy: DestinationRule default/a has one for a.default too, and is older: this one is not used",
            "typo spec.host: there is no service nobody.default",
        ]
    );
}
