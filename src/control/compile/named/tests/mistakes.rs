//! What is said of ServiceEntries and Sidecars that have mistakes.

use super::*;

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
