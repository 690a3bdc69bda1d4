//! That what is known to be wrong after each event is what is wrong in the world as it is then.

use proptest::prelude::*;

use super::*;
use crate::control::compile::problems;
use crate::control::directory::documents;
use crate::control::world::{Kind, Object};

/// Objects that refer to each other in every way in which one can make another wrong.
const OBJECTS: &str = r"
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1, ports: [{name: tcp, port: 81}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 10.0.0.2, ports: [{name: tcp, port: 81}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: e}, spec: {type: ExternalName, externalName: x.example.com, ports: [{name: tcp, port: 9}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: f}, spec: {type: ExternalName, externalName: b.default.svc.cluster.local, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p, uid: u, labels: {version: v1}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p, uid: u, labels: {version: v2}}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a-x, labels: {kubernetes.io/service-name: a}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: p}}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a-x, labels: {kubernetes.io/service-name: b}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: p}}]}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v}, spec: {hosts: [a], http: [{route: [{destination: {host: b, subset: s}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v}, spec: {hosts: [f], http: [{match: [{port: 81}], route: [{destination: {host: a}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: w}, spec: {hosts: [a, q.example.com], http: [{match: [{uri: {prefix: /x}}], delegate: {name: d}}, {route: [{destination: {host: e}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: w}, spec: {hosts: [b], http: [{route: [{destination: {host: a}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: d}, spec: {http: [{match: [{uri: {prefix: /y}}], route: [{destination: {host: b}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: d}, spec: {http: [{route: [{destination: {host: f, subset: s}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: all}, spec: {hosts: ['*.default.svc.cluster.local'], http: [{route: [{destination: {host: b, subset: t}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: r}, spec: {host: a, subsets: [{name: s, labels: {version: v1}}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: r}, spec: {host: b, trafficPolicy: {tls: {mode: MUTUAL}}, subsets: [{name: s, labels: {version: v2}}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: s}, spec: {host: b, trafficPolicy: {portLevelSettings: [{port: {number: 80}}]}, subsets: [{name: s}, {name: t}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: s}, spec: {host: f, subsets: [{name: s, labels: {version: v1}}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: t}, spec: {host: q.example.com, subsets: [{name: s, labels: {version: v1}}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: o}, spec: {hosts: [x.example.com], ports: [{number: 9, name: tcp}], resolution: STATIC, workloadSelector: {labels: {version: v1}}}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: o}, spec: {hosts: ['*.example.com'], ports: [{number: 80, name: http}], resolution: NONE}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: n}, spec: {hosts: [y.example.com, x.example.com], ports: [{number: 9, name: tcp}], resolution: NONE}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: w}, spec: {address: 192.0.2.1, labels: {version: v1}}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: w}, spec: {address: w.example.com, ports: {http: 1}, labels: {version: v1}}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: i}, spec: {egress: [{hosts: []}]}}
";

fn objects() -> Vec<Object> {
    let documents = documents(&[("test.yaml".to_owned(), OBJECTS.to_owned())]).unwrap();
    let objects = documents
        .iter()
        .map(|document| document.object().unwrap().unwrap());
    objects.collect()
}

/// A feed that knows that there is nothing.
fn synced() -> (Feed, Reader) {
    let (mut feed, _, reader) = Feed::new(World::default());
    feed.apply(&mut Kind::ALL.map(|kind| Event::Replace(kind, Vec::new())).into());
    (feed, reader)
}

#[test]
fn every_object_can_be_wrong_by_another() {
    let (mut feed, reader) = synced();
    for object in objects() {
        feed.apply(&mut vec![Event::Apply(object)]);
        assert_eq!(**reader.problems.borrow(), problems(&reader.world.borrow()));
    }
    assert!(
        reader.problems.borrow().len() > 5,
        "{:?}",
        reader.problems.borrow()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_wrong_is_known_after_every_event(
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..60)
    ) {
        let (objects, (mut feed, reader)) = (objects(), synced());
        for (which, comes) in steps {
            let object = which.get(&objects).clone();
            let event = match comes {
                true => Event::Apply(object),
                false => Event::Delete(object.kind(), object.key()),
            };
            let said = format!("{event:?}");
            feed.apply(&mut vec![event]);
            prop_assert_eq!(&**reader.problems.borrow(), &problems(&reader.world.borrow()), "after {}", said);
        }
    }
}
