//! What a cluster would make of the manifests: pods from Deployments and their kin, addresses for Services, and
//! the EndpointSlices between them. Pure; it stands in for the API server's controllers and the scheduler.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

/// Kinds whose `spec.template` is a pod.
const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];
/// Pods of one workload that are run; more would show nothing new.
const MOST_REPLICAS: u64 = 5;
const DEFAULT_NAMESPACE: &str = "default";

/// A pod as it is sent to the webhook, and where it will run.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The name of what it was made from.
    pub(crate) workload: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) ip: IpAddr,
    /// As the user wrote it.
    pub(crate) object: Value,
}

/// A port of a Service that is HTTP by its declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) namespace: String,
    pub(crate) service: String,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
}

/// Which port on the pod's address stands for a port of its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) container_port: u16,
    pub(crate) port: u16,
}

/// The pods that the manifests ask for, with addresses 127.9.0.1 and on: loopback, each pod its own.
pub(crate) fn pods(manifests: &[Value]) -> Vec<Pod> {
    let templates = manifests.iter().flat_map(|manifest| {
        let workload = text(&manifest["metadata"]["name"]);
        let replicas = manifest["spec"]["replicas"]
            .as_u64()
            .unwrap_or(1)
            .min(MOST_REPLICAS);
        let (template, replicas) = match manifest["kind"].as_str() {
            Some("Pod") => (manifest, 1),
            Some(kind) if WORKLOADS.contains(&kind) => (&manifest["spec"]["template"], replicas),
            _ => (manifest, 0),
        };
        (1..=replicas).map(move |replica| (manifest, template, workload.clone(), replica))
    });
    let pod = |(index, (manifest, template, workload, replica)): (usize, (&Value, &Value, String, u64))| {
        let name = if manifest["kind"] == "Pod" {
            workload.clone()
        } else {
            format!("{workload}-{replica}")
        };
        let namespace = namespace(manifest);
        let mut object = template.clone();
        object["apiVersion"] = "v1".into();
        object["kind"] = "Pod".into();
        object["metadata"]["name"] = name.clone().into();
        object["metadata"]["namespace"] = namespace.clone().into();
        let index = u16::try_from(index + 1).unwrap_or(u16::MAX).to_be_bytes();
        let ip = Ipv4Addr::new(127, 9, index[0], index[1]).into();
        Pod {
            namespace,
            name,
            workload,
            labels: strings(&template["metadata"]["labels"]),
            ip,
            object,
        }
    };
    templates.enumerate().map(pod).collect()
}

/// The namespaces that the manifests name, labelled for injection unless a manifest says how they are labelled.
pub(crate) fn namespaces(manifests: &[Value]) -> Vec<Value> {
    let mut namespaces = BTreeMap::from([(DEFAULT_NAMESPACE.to_owned(), injected(DEFAULT_NAMESPACE))]);
    for manifest in manifests {
        namespaces
            .entry(namespace(manifest))
            .or_insert_with_key(|name| injected(name));
    }
    for manifest in manifests
        .iter()
        .filter(|manifest| manifest["kind"] == "Namespace")
    {
        namespaces.insert(text(&manifest["metadata"]["name"]), manifest.clone());
    }
    namespaces.into_values().collect()
}

fn injected(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"istio-injection": "enabled"}}})
}

/// The Services with an address each, 10.96.0.1 and on, if their manifest gives none.
pub(crate) fn services(manifests: &[Value]) -> Vec<Value> {
    let services = manifests
        .iter()
        .filter(|manifest| manifest["kind"] == "Service")
        .enumerate();
    let service = |(index, manifest): (usize, &Value)| {
        let mut service = manifest.clone();
        service["metadata"]["namespace"] = namespace(manifest).into();
        let alias = service["spec"]["type"] == "ExternalName";
        if !alias && service["spec"]["clusterIP"].as_str().is_none_or(str::is_empty) {
            let index = u16::try_from(index + 1).unwrap_or(u16::MAX).to_be_bytes();
            let ip = Ipv4Addr::new(10, 96, index[0], index[1]).to_string();
            service["spec"]["clusterIPs"] = json!([ip]);
            service["spec"]["clusterIP"] = ip.into();
        }
        service
    };
    services.map(service).collect()
}

/// Every port of every Service that the requests of the demo can go to.
pub(crate) fn destinations(services: &[Value]) -> Vec<Destination> {
    let mut destinations = Vec::new();
    for service in services {
        let Ok(ip) = text(&service["spec"]["clusterIP"]).parse() else {
            continue;
        };
        for port in ports(service).filter(|port| is_http(port)) {
            let Some(port) = port["port"].as_u64().and_then(|port| u16::try_from(port).ok()) else {
                continue;
            };
            destinations.push(Destination {
                namespace: text(&service["metadata"]["namespace"]),
                service: text(&service["metadata"]["name"]),
                ip,
                port,
            });
        }
    }
    destinations
}

/// The container ports of a pod that Services lead to: those have to be listened on.
pub(crate) fn container_ports(pod: &Pod, services: &[Value]) -> Vec<u16> {
    let selecting = services.iter().filter(|service| selects(service, pod));
    let mut all: Vec<u16> = selecting
        .flat_map(|service| ports(service).filter_map(|port| target(port, pod)))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The slices between the Services and the pods: one a pod, since each has its own ports here.
pub(crate) fn endpoint_slices(services: &[Value], pods: &[(Pod, Vec<Served>)]) -> Vec<Value> {
    let mut slices = Vec::new();
    for service in services {
        for (pod, served) in pods.iter().filter(|(pod, _)| selects(service, pod)) {
            let stands_for = |port: &Value| {
                let container_port = target(port, pod)?;
                let served = served
                    .iter()
                    .find(|served| served.container_port == container_port)?;
                Some(
                    json!({"name": port["name"].as_str().unwrap_or(""), "port": served.port, "protocol": "TCP", "appProtocol": port["appProtocol"]}),
                )
            };
            let service_name = text(&service["metadata"]["name"]);
            slices.push(json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{service_name}-{}", pod.name),
                    "namespace": pod.namespace,
                    "labels": {"kubernetes.io/service-name": service_name},
                },
                "addressType": "IPv4",
                "ports": ports(service).filter_map(stands_for).collect::<Vec<_>>(),
                "endpoints": [{
                    "addresses": [pod.ip.to_string()],
                    "conditions": {"ready": true},
                    "targetRef": {"kind": "Pod", "name": pod.name, "namespace": pod.namespace},
                }],
            }));
        }
    }
    slices
}

fn selects(service: &Value, pod: &Pod) -> bool {
    let selector = strings(&service["spec"]["selector"]);
    service["metadata"]["namespace"] == pod.namespace.as_str()
        && !selector.is_empty()
        && selector
            .iter()
            .all(|(key, value)| pod.labels.get(key) == Some(value))
}

/// A Service's port is the pod's `targetPort`, by number or by the name of a container's port, or the same number.
fn target(port: &Value, pod: &Pod) -> Option<u16> {
    let number = match &port["targetPort"] {
        Value::String(name) => pod.object["spec"]["containers"]
            .as_array()?
            .iter()
            .flat_map(|container| container["ports"].as_array().into_iter().flatten())
            .find(|port| port["name"] == name.as_str())?["containerPort"]
            .as_u64(),
        Value::Number(number) => number.as_u64(),
        _ => port["port"].as_u64(),
    };
    number.and_then(|number| u16::try_from(number).ok())
}

fn is_http(port: &Value) -> bool {
    let declared = port["appProtocol"]
        .as_str()
        .or(port["name"].as_str())
        .unwrap_or("");
    declared == "http" || declared.starts_with("http-")
}

fn ports(service: &Value) -> impl Iterator<Item = &Value> {
    service["spec"]["ports"].as_array().into_iter().flatten()
}

fn namespace(manifest: &Value) -> String {
    manifest["metadata"]["namespace"]
        .as_str()
        .unwrap_or(DEFAULT_NAMESPACE)
        .to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifests() -> Vec<Value> {
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "ports": [{"name": "web", "containerPort": 8080}]}]}});
        vec![
            json!({"kind": "Service", "metadata": {"name": "a"}, "spec": {"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "db", "port": 90}]}}),
            json!({"kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 2, "template": template}}),
            json!({"kind": "Pod", "metadata": {"name": "b", "namespace": "other"}, "spec": {"containers": []}}),
        ]
    }

    #[test]
    fn workloads_become_pods_with_addresses() {
        let pods = pods(&manifests());
        let names: Vec<_> = pods
            .iter()
            .map(|pod| format!("{}/{} {}", pod.namespace, pod.name, pod.ip))
            .collect();
        assert_eq!(
            names,
            [
                "default/a-1 127.9.0.1",
                "default/a-2 127.9.0.2",
                "other/b 127.9.0.3"
            ]
        );
    }

    #[test]
    fn services_lead_to_the_ports_that_stand_for_the_containers() {
        let (services, pods) = (services(&manifests()), pods(&manifests()));
        assert_eq!(container_ports(&pods[0], &services), [90, 8080]);
        assert!(container_ports(&pods[2], &services).is_empty());
        let served = vec![Served {
            container_port: 8080,
            port: 40001,
        }];
        let slices = endpoint_slices(&services, &[(pods[0].clone(), served)]);
        assert_eq!(slices.len(), 1);
        assert_eq!(
            slices[0]["ports"],
            json!([{"name": "http", "port": 40001, "protocol": "TCP", "appProtocol": null}])
        );
        assert_eq!(
            destinations(&services)
                .iter()
                .map(|one| (one.service.as_str(), one.port))
                .collect::<Vec<_>>(),
            [("a", 80)]
        );
    }

    #[test]
    fn a_namespace_is_injected_unless_its_manifest_says_otherwise() {
        let mut manifests = manifests();
        manifests.push(json!({"kind": "Namespace", "metadata": {"name": "other"}}));
        let labelled: Vec<_> = namespaces(&manifests)
            .iter()
            .map(|one| one["metadata"]["labels"].is_object())
            .collect();
        assert_eq!(labelled, [true, false]);
    }
}
