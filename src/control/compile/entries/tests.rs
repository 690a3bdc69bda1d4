//! What a ServiceEntry's selector means: pods, whether a Service selects them or not, and WorkloadEntries.

use crate::control::compile::{endpoints, problems};
use crate::control::directory::{documents, events};
use crate::control::world::{Event, Key, Kind, World};

const CLUSTER: &str = "
{apiVersion: v1, kind: Service, metadata: {name: plain}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: plain-1, labels: {kubernetes.io/service-name: plain}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: behind}}]
---
# Its address is known from the slice.
{apiVersion: v1, kind: Pod, metadata: {name: behind, labels: {app: db, version: v1}}, status: {podIP: 10.9.9.9}}
---
{apiVersion: v1, kind: Pod, metadata: {name: alone, labels: {app: db, version: v2}}, status: {podIP: 10.1.0.2, conditions: [{type: Ready, status: 'True'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: starting, labels: {app: db}}, status: {podIP: 10.1.0.3, conditions: [{type: Ready, status: 'False'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: ended, labels: {app: db}}, status: {podIP: 10.1.0.4, phase: Succeeded, conditions: [{type: Ready, status: 'True'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other, labels: {app: x}}, status: {podIP: 10.1.0.5, conditions: [{type: Ready, status: 'True'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: unscheduled, labels: {app: db}}}
---
";

fn world(objects: &str) -> World {
    let text = format!("{CLUSTER}{objects}");
    let documents = documents(&[("test.yaml".to_owned(), text)]).unwrap();
    let mut world = World::default();
    for event in events(&documents).unwrap() {
        world.apply(event);
    }
    world
}

fn entry(resolution: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: db}}, spec: {{hosts: [db.example.com], addresses: [240.0.0.1], ports: [{{number: 5432, name: tcp-db, targetPort: 15432}}], resolution: {resolution}, workloadSelector: {{labels: {{app: db}}}}}}}}\n---\n"
    )
}

/// `metadata` is what comes after the name.
fn workload(name: &str, metadata: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {{name: {name}{metadata}}}, spec: {spec}}}\n---\n"
    )
}

fn at(world: &World, subset: &str) -> String {
    let found = endpoints(world, &format!("db.example.com:5432{subset}")).expect("the service");
    let all = found.endpoints.iter().map(|one| {
        let locality = one
            .locality
            .as_ref()
            .map_or("", |locality| locality.region.as_str());
        let weight = if one.weight == 0 {
            String::new()
        } else {
            format!("*{}", one.weight)
        };
        format!("{}:{}{weight}{locality}", one.address, one.port)
    });
    all.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_selector_selects_pods_and_workload_entries() {
    let vms = workload("a", "", "{address: 192.0.2.1, labels: {app: db}}")
        + &workload(
            "b",
            "",
            "{address: 192.0.2.2, ports: {tcp-db: 6000}, labels: {app: db, version: v2}, weight: 3, locality: eu/b}",
        )
        + &workload("other", "", "{address: 192.0.2.3, labels: {app: x}}")
        + &workload(
            "elsewhere",
            ", namespace: shop",
            "{address: 192.0.2.4, labels: {app: db}}",
        );
    let pods = "10.1.0.1:15432 10.1.0.2:15432";
    for (why, objects, subset, expected) in [
        (
            "pods with or without a Service",
            String::new(),
            "",
            pods.to_owned(),
        ),
        (
            "both",
            vms.clone(),
            "",
            format!("{pods} 192.0.2.1:15432 192.0.2.2:6000*3eu"),
        ),
        (
            "a subset of both",
            vms.clone(),
            "/version=v2",
            "10.1.0.2:15432 192.0.2.2:6000*3eu".to_owned(),
        ),
        (
            "an object's own labels count, and come first",
            workload(
                "a",
                ", labels: {app: db, version: v2}",
                "{address: 192.0.2.1, labels: {version: v1}}",
            ) + &workload(
                "b",
                ", labels: {app: x}",
                "{address: 192.0.2.2, labels: {app: db, version: v2}}",
            ),
            "/version=v2",
            "10.1.0.2:15432 192.0.2.1:15432".to_owned(),
        ),
        (
            "names need DNS",
            workload("a", "", "{address: VM.example.com, labels: {app: db}}"),
            "",
            pods.to_owned(),
        ),
        (
            "what cannot be meant has no effect",
            workload("a", "", "{labels: {app: db}}")
                + &workload("b", "", "{address: 'unix:/var/run/db', labels: {app: db}}")
                + &workload("c", "", "{address: a b, labels: {app: db}}"),
            "",
            pods.to_owned(),
        ),
    ] {
        assert_eq!(
            at(&world(&(entry("STATIC") + &objects)), subset),
            expected,
            "{why}"
        );
    }
    let named = workload("a", "", "{address: VM.example.com, labels: {app: db}}");
    assert_eq!(
        at(&world(&(entry("DNS") + &named)), ""),
        format!("{pods} vm.example.com:15432")
    );
}

#[test]
fn a_change_of_what_is_selected_touches_those_that_select_it() {
    let vm = |address: &str| workload("a", "", &format!("{{address: {address}, labels: {{app: db}}}}"));
    let mut world = world(&(entry("STATIC") + &vm("192.0.2.1")));
    let revision = world.revision();
    let mut apply = |text: &str| {
        let read = documents(&[("test.yaml".to_owned(), text.to_owned())]).unwrap();
        let address = read[0].address().unwrap();
        let object = address.or(read[0].object().unwrap()).unwrap();
        let change = world.apply(Event::Apply(object));
        (
            change.endpoints.into_iter().collect::<Vec<_>>().join(" "),
            change.hosts.len(),
            at(&world, ""),
        )
    };
    let pod = |name: &str, address: &str, ready: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: db}}}}, status: {{podIP: {address}, conditions: [{{type: Ready, status: '{ready}'}}]}}}}"
        )
    };
    let db = "db.example.com".to_owned();
    for (why, text, touched, expected) in [
        (
            "nothing new",
            vm("192.0.2.1"),
            false,
            "10.1.0.1:15432 10.1.0.2:15432 192.0.2.1:15432",
        ),
        (
            "another address",
            vm("192.0.2.9"),
            true,
            "10.1.0.1:15432 10.1.0.2:15432 192.0.2.9:15432",
        ),
        (
            "a pod is ready",
            pod("starting", "10.1.0.3", "True"),
            true,
            "10.1.0.1:15432 10.1.0.2:15432 10.1.0.3:15432 192.0.2.9:15432",
        ),
        (
            "a pod is not any more",
            pod("alone", "10.1.0.2", "False"),
            true,
            "10.1.0.1:15432 10.1.0.3:15432 192.0.2.9:15432",
        ),
        (
            "a pod that is not selected",
            pod("other", "10.1.0.8", "True"),
            false,
            "10.1.0.1:15432 10.1.0.3:15432 192.0.2.9:15432",
        ),
    ] {
        let endpoints = if touched { db.clone() } else { String::new() };
        assert_eq!(apply(&text), (endpoints, 0, expected.to_owned()), "{why}");
    }
    assert_ne!(world.revision(), revision);
    for (kind, name) in [(Kind::WorkloadEntry, "a"), (Kind::PodAddress, "starting")] {
        let change = world.apply(Event::Delete(kind, Key::new("default", name)));
        assert!(change.endpoints.contains(&db), "{kind} {change:?}");
    }
    assert_eq!(at(&world, ""), "10.1.0.1:15432");
}

#[test]
fn mistakes_are_named() {
    let objects = entry("STATIC")
        + &workload("a", "", "{address: 192.0.2.1, labels: {app: x}}")
        + &workload(
            "b",
            "",
            "{address: vm.example.com, labels: {app: db}, ports: {http: 1, tcp-db: 70000}, network: n, serviceAccount: s}",
        )
        + &workload("c", "", "{labels: {app: db, 'a b': c}, health: x}")
        + &workload("d", "", "{address: 'unix:/var/run/db', labels: {app: db}}")
        + &workload("e", "", "{address: a b, labels: {app: db}}");
    let seen: Vec<_> = problems(&world(&objects))
        .into_iter()
        .map(|one| {
            format!(
                "{} {} {}: {}",
                one.severity as u8, one.object, one.field, one.problem
            )
        })
        .collect();
    let expected = [
        "1 WorkloadEntry default/a spec.labels: no ServiceEntry of this namespace selects it, so that nothing leads there; the selector of a Service means pods alone",
        "0 WorkloadEntry default/b spec.ports.tcp-db: is not between 1 and 65535; it has no effect",
        "1 WorkloadEntry default/b spec.address: is no IP address, which ServiceEntry default/db needs without resolution DNS",
        "1 WorkloadEntry default/b spec.network: has no effect: the address is dialled as it is, there are no gateways between networks",
        "1 WorkloadEntry default/b spec.ports.http: is not the name of a port of the ServiceEntries that select it, and has no effect",
        "1 WorkloadEntry default/b spec.serviceAccount: has no effect: there are no identities yet",
        "0 WorkloadEntry default/c spec.address: is missing: an IP address or a DNS name; it has no effect",
        "0 WorkloadEntry default/c spec.labels.a b: \"a b\" is not the name of a label; it has no effect",
        "1 WorkloadEntry default/c spec.health: is not a field that is known here; it has no effect",
        "1 WorkloadEntry default/d spec.address: has no effect: a pod does not have this socket",
        "0 WorkloadEntry default/e spec.address: is neither an IP address nor a DNS name; it has no effect",
    ];
    assert_eq!(seen, expected, "{seen:#?}");
}
