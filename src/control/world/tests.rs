//! What touches whom.

use super::*;
use crate::control::directory::{documents, events};

fn objects(text: &str) -> Vec<Object> {
    let documents = documents(&[("test.yaml".to_owned(), text.to_owned())]).unwrap();
    documents
        .iter()
        .filter_map(|document| document.object().unwrap())
        .collect()
}

fn service(name: &str, address: &str, port: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{clusterIP: {address}, ports: [{{name: {port}, port: 80}}]}}}}\n---\n"
    )
}

fn slice(name: &str, pods: &[&str]) -> String {
    let endpoints: Vec<_> = pods
        .iter()
        .map(|pod| {
            format!(
                "{{addresses: [10.1.0.{}], targetRef: {{kind: Pod, name: {pod}}}}}",
                pod.len()
            )
        })
        .collect();
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {name}-x, labels: {{kubernetes.io/service-name: {name}}}}}, addressType: IPv4, ports: [{{name: http, port: 80}}], endpoints: [{}]}}\n---\n",
        endpoints.join(", ")
    )
}

fn pod(name: &str, version: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, uid: u, labels: {{version: {version}}}}}}}\n---\n"
    )
}

fn rule(kind: &str, spec: &str) -> String {
    named(kind, "r", spec)
}

fn named(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: {kind}, metadata: {{name: {name}}}, spec: {spec}}}\n---\n"
    )
}

#[test]
fn a_delegate_touches_the_hosts_of_those_that_delegate_to_it() {
    let mut world = World::default();
    let root = "{hosts: [a], http: [{delegate: {name: below}}]}";
    let below = |timeout: &str| {
        let spec = format!("{{http: [{{timeout: {timeout}, route: [{{destination: {{host: c}}}}]}}]}}");
        named("VirtualService", "below", &spec)
    };
    for object in
        objects(&(named("VirtualService", "root", root) + &named("VirtualService", "x", "{hosts: [x]}")))
    {
        world.apply(Event::Apply(object));
    }
    let mut touched = |event| render(&world.apply(event));
    let apply = |text: String| Event::Apply(objects(&text).remove(0));
    assert_eq!(touched(apply(below("1s"))), "hosts a");
    assert_eq!(touched(apply(below("1s"))), "");
    assert_eq!(touched(apply(below("2s"))), "hosts a");
    // What a delegate leads to is as good as what the root does.
    assert_eq!(
        touched(apply(service("c", "10.0.0.9", "http"))),
        "hosts a c; endpoints c; addresses 10.0.0.9"
    );
    assert_eq!(
        touched(Event::Delete(Kind::VirtualService, Key::new("default", "below"))),
        "hosts a"
    );
}

/// `hosts a b; endpoints a; addresses 10.0.0.1; pods p`, empty parts left out.
fn render(change: &Change) -> String {
    fn part<T: ToString>(name: &str, all: &BTreeSet<T>) -> Option<String> {
        let all: Vec<_> = all
            .iter()
            .map(|one| one.to_string().replace(".default.svc.cluster.local", ""))
            .collect();
        (!all.is_empty()).then(|| format!("{name} {}", all.join(" ")))
    }
    let parts = [
        part("hosts", &change.hosts),
        part("endpoints", &change.endpoints),
        part("addresses", &change.addresses),
        part("ranges", &change.ranges),
        part("pods", &change.pods),
        change.named.then(|| "names".to_owned()),
        change.views.then(|| "views".to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[test]
fn an_event_touches_whom_it_concerns() {
    let a = service("a", "10.0.0.1", "http");
    let base = a.clone()
        + &service("b", "10.0.0.2", "http")
        + &slice("a", &["p", "qq"])
        + &pod("p", "v1")
        + &pod("qq", "v2")
        + &rule(
            "VirtualService",
            "{hosts: [a], http: [{route: [{destination: {host: b}}]}]}",
        );
    let apply = |text: String| objects(&text).into_iter().map(Event::Apply).collect::<Vec<_>>();
    let delete = |kind, name| vec![Event::Delete(kind, Key::new("default", name))];
    for (why, events, expected) in [
        ("nothing new", apply(base.clone()), ""),
        (
            "another protocol",
            apply(service("a", "10.0.0.1", "tcp")),
            "hosts a; endpoints a; addresses 10.0.0.1; pods default/p default/qq",
        ),
        (
            "another address",
            apply(service("a", "10.0.0.7", "http")),
            "hosts a; endpoints a; addresses 10.0.0.1 10.0.0.7; pods default/p default/qq",
        ),
        (
            "who routes there",
            delete(Kind::Service, "b"),
            "hosts a b; endpoints b; addresses 10.0.0.2",
        ),
        (
            "a pod leaves a slice",
            apply(slice("a", &["p"])),
            "endpoints a; pods default/qq",
        ),
        (
            "a slice goes",
            delete(Kind::EndpointSlice, "a-x"),
            "endpoints a; pods default/p default/qq",
        ),
        (
            "a pod's labels",
            apply(pod("p", "v9")),
            "endpoints a; pods default/p",
        ),
        (
            "a pod's identity",
            apply(pod("p", "v1").replace("uid: u", "uid: w")),
            "pods default/p",
        ),
        (
            "a pod goes",
            delete(Kind::Pod, "p"),
            "endpoints a; pods default/p",
        ),
        (
            "subsets matter to those who route to them",
            apply(rule("DestinationRule", "{host: b, subsets: [{name: v1}]}")),
            "hosts a b; endpoints b",
        ),
        (
            "old and new hosts",
            apply(rule("VirtualService", "{hosts: [b]}")),
            "hosts a b",
        ),
        (
            "a wildcard means all that it matches",
            apply(rule("DestinationRule", "{host: '*.default.svc.cluster.local'}")),
            "hosts a b; endpoints a b",
        ),
        (
            "a host that addresses mean",
            apply(rule(
                "ServiceEntry",
                "{hosts: [x.com], addresses: [240.0.0.0/8], ports: [{number: 80, name: http}]}",
            )),
            "hosts x.com; endpoints x.com; ranges 240.0.0.0/8; names",
        ),
        (
            "one that nothing but its name means",
            apply(rule(
                "ServiceEntry",
                "{hosts: ['*.x.com'], ports: [{number: 80, name: http}]}",
            )),
            "hosts *.x.com; endpoints *.x.com; names",
        ),
        (
            "what pods see",
            apply(rule("Sidecar", "{egress: [{hosts: [./*]}]}")),
            "views",
        ),
        (
            "pods become a headless service's",
            apply(service("a", "None", "http")),
            "hosts a; endpoints a; addresses 10.0.0.1 10.1.0.1 10.1.0.2; pods default/p default/qq",
        ),
        (
            "pods that a ServiceEntry selects",
            apply(
                rule(
                    "ServiceEntry",
                    "{hosts: [x.com], addresses: [240.0.0.1], ports: [{number: 80, name: http}], resolution: STATIC, workloadSelector: {labels: {version: v1}}}",
                ) + &pod("qq", "v1"),
            ),
            "hosts x.com; endpoints a x.com; ranges 240.0.0.1/32; pods default/p default/qq; names",
        ),
        ("a rule goes", delete(Kind::VirtualService, "r"), "hosts a"),
        ("what is not there", delete(Kind::DestinationRule, "r"), ""),
        (
            "a new list",
            vec![Event::Replace(Kind::Service, objects(&a))],
            "hosts a b; endpoints b; addresses 10.0.0.2",
        ),
    ] {
        let mut world = World::default();
        for event in apply(base.clone()) {
            world.apply(event);
        }
        let mut change = Change::default();
        for event in events {
            change.merge(world.apply(event));
        }
        assert_eq!(render(&change), expected, "{why}");
    }
}

#[test]
fn who_routes_to_an_alias_or_below_a_wildcard_is_touched() {
    let alias = "{apiVersion: v1, kind: Service, metadata: {name: e}, spec: {type: ExternalName, externalName: x.com, ports: [{port: 80}]}}\n---\n";
    let base = service("a", "10.0.0.1", "http")
        + alias
        + &rule(
            "VirtualService",
            "{hosts: [a], http: [{route: [{destination: {host: e}}, {destination: {host: q.y.com}}]}]}",
        );
    for host in ["x.com", "'*.y.com'", "y.com"] {
        let mut world = World::default();
        for object in objects(&base) {
            world.apply(Event::Apply(object));
        }
        let entry = rule(
            "ServiceEntry",
            &format!("{{hosts: [{host}], ports: [{{number: 80, name: http}}]}}"),
        );
        let came = objects(&entry).into_iter().map(Event::Apply);
        let went = Event::Delete(Kind::ServiceEntry, Key::new("default", "r"));
        for event in came.chain([went]) {
            let touched = world.apply(event).hosts.contains("a.default.svc.cluster.local");
            assert_eq!(touched, host != "y.com", "{host}");
        }
    }
}

#[test]
fn what_an_event_touches_does_not_depend_on_the_size_of_the_world() {
    let touched = |services: usize| {
        let mut world = World::default();
        let address = |number| format!("10.0.{}.{}", number / 250, 1 + number % 250);
        let route = |from, to| {
            let spec = format!("{{hosts: [s{from}], http: [{{route: [{{destination: {{host: s{to}}}}}]}}]}}");
            named("VirtualService", &format!("s{from}"), &spec)
        };
        let policy = |number| {
            named(
                "DestinationRule",
                &format!("s{number}"),
                &format!("{{host: s{number}}}"),
            )
        };
        for number in 0..services {
            let text = service(&format!("s{number}"), &address(number), "http")
                + &slice(&format!("s{number}"), &[&format!("p{number}")])
                + &route(number, (number + 1) % services)
                + &policy(number);
            for object in objects(&text) {
                world.apply(Event::Apply(object));
            }
        }
        let events = slice("s7", &["q"]) + &route(7, 9) + &policy(7).replace("host: s7", "host: s8");
        let events = objects(&(events + &service("s7", &address(7), "tcp") + &pod("q", "v1")));
        let mut touched = Vec::new();
        for object in events {
            let change = world.apply(Event::Apply(object));
            touched.push((render(&change), world.rules_touched(&change).len()));
        }
        touched
    };
    let small = touched(20);
    assert_eq!(
        small.iter().map(|(_, rules)| *rules).collect::<Vec<_>>(),
        [1, 5, 7, 4, 0],
        "{small:#?}"
    );
    assert_eq!(touched(200), small);
}

#[test]
fn the_world_is_synced_when_every_kind_is_listed() {
    let mut world = World::default();
    for kind in Kind::ALL {
        assert!(!world.synced());
        assert!(world.unlisted().contains(&kind));
        assert!(world.apply(Event::Replace(kind, Vec::new())).listed);
        assert!(!world.apply(Event::Replace(kind, Vec::new())).listed);
    }
    assert!(world.synced());
}

#[test]
fn an_address_that_changed_hands_stays_with_its_new_owner() {
    let mut world = World::default();
    let address = "10.0.0.1".parse().unwrap();
    for object in objects(&(service("old", "10.0.0.1", "http") + &service("new", "10.0.0.1", "http"))) {
        world.apply(Event::Apply(object));
    }
    world.apply(Event::Delete(Kind::Service, Key::new("default", "old")));
    assert_eq!(
        world
            .services()
            .at(address)
            .map(|service| service.key.name.as_str()),
        Some("new")
    );
    world.apply(Event::Delete(Kind::Service, Key::new("default", "new")));
    assert_eq!(world.services().at(address), None);
}

#[test]
fn everything_can_be_taken_out_again() {
    let text = service("a", "10.0.0.1", "http")
        + &slice("a", &["p"])
        + &pod("p", "v1")
        + &rule("VirtualService", "{hosts: [a]}")
        + &rule("DestinationRule", "{host: a}")
        + &rule(
            "ServiceEntry",
            "{hosts: [x.example.com, '*.y.example.com'], addresses: [240.0.0.1], ports: [{number: 80, name: http}], resolution: STATIC, workloadSelector: {labels: {version: v1}}}",
        )
        + &rule("WorkloadEntry", "{address: 192.0.2.1, labels: {version: v1}}")
        + "{apiVersion: v1, kind: Pod, metadata: {name: q, labels: {version: v1}}, status: {podIP: 10.1.0.9}}\n---\n"
        + &rule("Sidecar", "{egress: [{hosts: [./*]}]}")
        + "{apiVersion: v1, kind: Service, metadata: {name: h}, spec: {clusterIP: None, ports: [{port: 80}]}}\n---\n"
        + "{apiVersion: v1, kind: Service, metadata: {name: e}, spec: {type: ExternalName, externalName: x.example.com, ports: [{port: 80}]}}\n---\n"
        + &slice("h", &["p"])
        + "{apiVersion: v1, kind: Namespace, metadata: {name: n, labels: {a: b}}}";
    let mut world = World::default();
    for event in events(&documents(&[("test.yaml".to_owned(), text)]).unwrap()).unwrap() {
        world.apply(event);
    }
    assert_eq!(
        world
            .namespace("n")
            .and_then(|namespace| namespace.labels.get("a"))
            .map(String::as_str),
        Some("b")
    );
    for kind in Kind::ALL {
        world.apply(Event::Replace(kind, Vec::new()));
    }
    assert_eq!(world.namespace_names().count(), 0);
    let mut empty = World::default();
    for kind in Kind::ALL {
        empty.apply(Event::Replace(kind, Vec::new()));
    }
    (empty.events, empty.revision) = (world.events(), world.revision());
    assert_eq!(
        format!("{world:?}"),
        format!("{empty:?}"),
        "no index keeps anything"
    );
}
