//! Where endpoints and clients run, as Istio finds it: what a ServiceEntry says, the pod's label `istio-locality`, the
//! labels that Kubernetes gives pods and nodes, and the zone of the EndpointSlice.

use std::collections::BTreeMap;

use outrigger_proxy::protocol::mesh::Locality;

use crate::control::world::{Endpoint, Pod, World};

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";
/// A pod's own word, `region.zone.subzone`: dots, since labels have no slashes.
const ISTIO_LOCALITY: &str = "istio-locality";

/// `None` if nothing is known.
pub(super) fn of_endpoint(world: &World, endpoint: &Endpoint) -> Option<Locality> {
    let entry = endpoint
        .entry
        .as_deref()
        .and_then(|entry| entry.locality.as_deref());
    if let Some(locality) = entry {
        return Some(parse(locality, '/'));
    }
    let pod = endpoint.pod.as_ref().and_then(|key| world.pod(key));
    let node = endpoint.node.as_deref().unwrap_or_default();
    let mut locality = of_labels(world, pod.map(|pod| &pod.labels), node);
    if locality.zone.is_empty() {
        locality.zone = endpoint.zone.clone().unwrap_or_default();
    }
    (locality != Locality::default()).then_some(locality)
}

/// Where a client's pod runs, and its node, which its token may have said; it is also known of pods that are behind a service.
pub(super) fn of_pod(world: &World, pod: &Pod, node: Option<&str>) -> (Option<Locality>, String) {
    let slices = world.services().slices_with(&pod.key);
    let mut endpoints = slices
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.pod.as_ref() == Some(&pod.key) && endpoint.entry.is_none());
    let own = endpoints.find(|endpoint| endpoint.node.is_some());
    let node = node
        .or(own.and_then(|own| own.node.as_deref()))
        .unwrap_or_default();
    let mut locality = of_labels(world, Some(&pod.labels), node);
    if locality.zone.is_empty() {
        locality.zone = own.and_then(|own| own.zone.clone()).unwrap_or_default();
    }
    (
        (locality != Locality::default()).then_some(locality),
        node.to_owned(),
    )
}

fn of_labels(world: &World, labels: Option<&BTreeMap<String, String>>, node: &str) -> Locality {
    let own = |label: &str| labels.and_then(|labels| labels.get(label));
    if let Some(locality) = own(ISTIO_LOCALITY) {
        return parse(locality, '.');
    }
    let of_node = world.topology(node);
    let one = |label: &str| {
        let found = own(label).or_else(|| of_node.and_then(|labels| labels.get(label)));
        found.cloned().unwrap_or_default()
    };
    Locality {
        region: one(REGION),
        zone: one(ZONE),
        subzone: one(SUBZONE),
    }
}

fn parse(text: &str, separator: char) -> Locality {
    let mut parts = text.splitn(3, separator).map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    Locality {
        region: part(),
        zone: part(),
        subzone: part(),
    }
}
