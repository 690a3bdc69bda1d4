//! What a proxy is told of its own pod.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_proxy::protocol::mesh;

use super::{named, place, protocol};
use crate::control::world::{Pod, World};

/// The pod, what it sees of the mesh, and what is spoken on the ports on which services reach the pod. `node` is where it runs,
/// if its token said so.
pub fn workload(world: &World, pod: &Pod, node: Option<&str>) -> mesh::Workload {
    let mut ports: BTreeMap<u16, mesh::Protocol> = BTreeMap::new();
    for slice in world.services().slices_with(&pod.key) {
        let Some(service) = world.services().get(&slice.service) else {
            continue;
        };
        for port in &service.ports {
            let Some(target) = slice.ports.get(&port.name) else {
                continue;
            };
            let declared = protocol::of(port);
            ports
                .entry(*target)
                // Services that contradict each other leave it to the bytes.
                .and_modify(|known| {
                    if *known != declared {
                        *known = mesh::Protocol::Unspecified;
                    }
                })
                .or_insert(declared);
        }
    }
    let inbound_ports = ports.into_iter().map(|(port, protocol)| mesh::InboundPort {
        port: u32::from(port),
        protocol: protocol.into(),
    });
    let view = world.view(&pod.key.namespace, &pod.labels);
    let (mut ranges, mut host_ports) = (world.mesh_ranges.clone(), BTreeSet::new());
    for service in world.services().outside() {
        let mut seen = service
            .ports
            .iter()
            .filter(|port| view.sees(service, port.port))
            .peekable();
        // Without any range every address is asked for.
        if seen.peek().is_some() && !world.mesh_ranges.is_empty() {
            ranges.extend(&service.ranges);
        }
        if named::is_named_only(service) {
            host_ports.extend(seen.map(|port| u32::from(port.port)));
        }
    }
    let policy = match view.registry_only() {
        true => mesh::OutboundPolicy::RegistryOnly,
        false => mesh::OutboundPolicy::AllowAny,
    };
    let (locality, node) = place::of_pod(world, pod, node);
    mesh::Workload {
        locality,
        node,
        namespace: pod.key.namespace.clone(),
        name: pod.key.name.clone(),
        labels: pod.labels.clone().into_iter().collect(),
        inbound_ports: inbound_ports.collect(),
        mesh_ranges: ranges.iter().map(ToString::to_string).collect(),
        outbound_policy: policy.into(),
        host_ports: host_ports.into_iter().collect(),
    }
}
