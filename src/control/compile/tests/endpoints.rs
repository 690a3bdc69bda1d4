//! Where requests can go at all: endpoints, and what a pod is told of its own ports.

use super::*;

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
