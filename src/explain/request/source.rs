//! The world that a request is explained in, and the client in it: of a cluster, or of manifests, of which it makes what a
//! cluster would. Before: `asked`. After: `answer`.

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client as KubeClient, ResourceExt};
use serde_json::{Value, json};

use super::asked::From;
use crate::control::compile::Client;
use crate::control::directory::{Document, Fault, documents, events};
use crate::control::watch;
use crate::control::world::{Event, Key, Kind, World};
use crate::demo::workloads::{self, Served};
use crate::inject;
use crate::settings::Settings;

/// Kinds of which manifests say less than a cluster does.
const COMPLETED: [Kind; 5] = [
    Kind::Namespace,
    Kind::Pod,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::PodAddress,
];

/// Where a request is explained.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) world: World,
    pub(super) client: Client,
    /// The pod that the client is, if it was named.
    pub(super) pod: Option<Key>,
    /// What there is to say about the client.
    pub(super) note: Option<String>,
}

/// From lists of the API server's.
pub(super) async fn of_cluster(
    from: &From,
    namespace: Option<&str>,
    settings: &Settings,
    root_namespace: &str,
) -> anyhow::Result<Source> {
    let kube = KubeClient::try_default().await.context("find the API server")?;
    let mut world = world(settings, root_namespace);
    for event in watch::list(&kube).await? {
        world.apply(event);
    }
    let namespace = namespace.unwrap_or(kube.default_namespace());
    let mut source = Source {
        client: client(&world, from, namespace, &[])?,
        pod: pod_of(from, namespace),
        world,
        note: None,
    };
    if let Some(key) = &source.pod {
        let pods: Api<Pod> = Api::namespaced(kube.clone(), &key.namespace);
        let pod = pods.get(&key.name).await.with_context(|| format!("pod {key}"))?;
        if inject::injected(&serde_json::to_value(&pod)?)
            .ok()
            .flatten()
            .is_none()
        {
            source.note = Some(format!(
                "pod {} has no proxy, so that no rule is for its requests: outrigger explain pod {0} -n {}",
                pod.name_any(),
                key.namespace
            ));
        }
    }
    Ok(source)
}

/// From manifests: workloads stand for their pods, and Services select them.
pub(super) fn of_files(
    files: Vec<(String, anyhow::Result<String>)>,
    from: &From,
    namespace: Option<&str>,
    settings: &Settings,
    root_namespace: &str,
) -> anyhow::Result<Source> {
    let mut texts = Vec::new();
    for (name, text) in files {
        let text = text.with_context(|| name.clone())?;
        texts.push((name, text));
    }
    let read = documents(&texts).map_err(|faults| all(&faults))?;
    let given: Vec<Value> = read.iter().map(|document| document.value.clone()).collect();
    let pods = workloads::pods(&given);
    let mut world = world(settings, root_namespace);
    for event in events(&read).map_err(|faults| all(&faults))? {
        if !completes(&event) {
            world.apply(event);
        }
    }
    for event in completed(&given, &pods)? {
        if completes(&event) {
            world.apply(event);
        }
    }
    let namespace = namespace.unwrap_or("default");
    let client = client(&world, from, namespace, &pods)?;
    Ok(Source {
        world,
        client,
        pod: pod_of(from, namespace),
        note: None,
    })
}

fn world(settings: &Settings, root_namespace: &str) -> World {
    let mut world = World::new(settings.cluster_domain.clone(), settings.mesh_ranges.clone());
    root_namespace.clone_into(&mut world.root_namespace);
    world.outbound_mode = settings.outbound_traffic_policy.mode;
    world
}

fn all(faults: &[Fault]) -> anyhow::Error {
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    anyhow!("{}", faults.join("\n       "))
}

fn completes(event: &Event) -> bool {
    matches!(event, Event::Replace(kind, _) if COMPLETED.contains(kind))
}

fn completed(given: &[Value], pods: &[workloads::Pod]) -> anyhow::Result<Vec<Event>> {
    let services = workloads::services(given);
    let running: Vec<_> = pods
        .iter()
        .map(|pod| {
            let ports = workloads::container_ports(pod, &services).into_iter();
            let served = ports.map(|port| Served {
                container_port: port,
                port,
            });
            (pod.clone(), served.collect())
        })
        .collect();
    // A Service whose slices are given has these.
    let slices = || given.iter().filter(|object| object["kind"] == "EndpointSlice");
    let has_own = |service: &&Value| {
        slices().any(|slice| {
            let of = &slice["metadata"]["labels"]["kubernetes.io/service-name"];
            *of == service["metadata"]["name"]
                && slice["metadata"]["namespace"] == service["metadata"]["namespace"]
        })
    };
    let without: Vec<Value> = services
        .iter()
        .filter(|service| !has_own(service))
        .cloned()
        .collect();
    let mut objects = workloads::namespaces(given);
    objects.extend(pods.iter().map(|pod| {
        let mut running = pod.object.clone();
        running["status"] = json!({"podIP": pod.ip, "conditions": [{"type": "Ready", "status": "True"}]});
        running
    }));
    objects.extend(workloads::endpoint_slices(&without, &running));
    objects.extend(slices().cloned());
    objects.extend(services);
    let text = objects.iter().map(|object| format!("---\n{object}\n")).collect();
    let read: Result<Vec<Document>, _> = documents(&[("what the manifests become".to_owned(), text)]);
    read.and_then(|read| events(&read)).map_err(|faults| all(&faults))
}

fn pod_of(from: &From, namespace: &str) -> Option<Key> {
    match from {
        From::Pod(own, name) => Some(Key::new(own.as_deref().unwrap_or(namespace), name)),
        From::Labels(_) => None,
    }
}

/// A pod by its own name, or by that of the workload that it is of.
fn client(
    world: &World,
    from: &From,
    namespace: &str,
    of_workloads: &[workloads::Pod],
) -> anyhow::Result<Client> {
    let key = match from {
        From::Pod(own, name) => Key::new(own.as_deref().unwrap_or(namespace), name),
        From::Labels(labels) => {
            return Ok(Client {
                namespace: namespace.to_owned(),
                labels: labels.clone(),
            });
        }
    };
    let known = world.pod(&key).map(|pod| pod.labels.clone());
    let of_workload = || {
        let mut pods = of_workloads.iter();
        let pod = pods.find(|pod| pod.workload == key.name && pod.namespace == key.namespace)?;
        Some(pod.labels.clone())
    };
    let labels = known.or_else(of_workload);
    let labels =
        labels.with_context(|| format!("there is no pod {key}; name one, or give labels instead"))?;
    Ok(Client {
        namespace: key.namespace,
        labels,
    })
}
