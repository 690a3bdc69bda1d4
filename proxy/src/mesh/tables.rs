//! The subscriptions and what has been said of each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::resolved::Resolved;
use super::resources::Names;
use super::{Lookup, Name};
use crate::balance::{Cluster, Counts, Endpoint, Endpoints, Place};
use crate::protocol::{ENDPOINTS, SERVICE, mesh};
use crate::route::{Backend, Target};

/// How long a destination that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(600);

/// Subscriptions beyond which no more hosts are followed; addresses are, up to what the control plane bears.
const MOST_NAMES: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) services: HashMap<Name, ServiceEntry>,
    /// By resource name.
    pub(super) endpoints: HashMap<String, EndpointsEntry>,
    /// By Istio's name and that of their endpoints: what the backends of all services lead to.
    clusters: HashMap<(String, String), Arc<Cluster>>,
    pub(super) workload_version: String,
    /// Where the pod runs.
    place: Arc<Place>,
    pub(super) counts: Counts,
    /// What names of endpoints stand for.
    pub(super) resolved: Resolved,
}

#[derive(Debug)]
pub(super) struct ServiceEntry {
    pub(super) lookup: watch::Sender<Lookup>,
    pub(super) version: String,
    used: Instant,
}

#[derive(Debug)]
pub(super) struct EndpointsEntry {
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) version: String,
    /// As published, if some of them are known by names.
    pub(super) named: Vec<mesh::Endpoint>,
}

impl Tables {
    /// Follows the service of a name, and whether it is new. `None` for more hosts than are followed: they are names that
    /// clients make up.
    pub(super) fn service(&mut self, name: Name) -> Option<(watch::Receiver<Lookup>, bool)> {
        let mut new = false;
        let known = self.services.contains_key(&name);
        if !known && self.services.len() >= MOST_NAMES && matches!(name, Name::Host(_)) {
            return None;
        }
        let entry = self.services.entry(name).or_insert_with(|| {
            new = true;
            ServiceEntry {
                lookup: watch::Sender::new(Lookup::Pending),
                version: String::new(),
                used: Instant::now(),
            }
        });
        entry.used = Instant::now();
        Some((entry.lookup.subscribe(), new))
    }

    /// What a backend leads to: the cluster that is known by this name, unless what is said of it has changed. The
    /// name of endpoints that are not known yet is noted in `new`.
    pub(super) fn cluster(&mut self, backend: &mesh::Backend, new: &mut Vec<String>) -> Arc<Cluster> {
        let key = (backend.cluster.clone(), backend.endpoints.clone());
        if let Some(cluster) = self.clusters.get(&key).filter(|cluster| cluster.is(backend)) {
            return cluster.clone();
        }
        let endpoints = self.endpoints(backend, new);
        let cluster = Cluster::at(backend, endpoints, self.place.clone(), self.counts.clone());
        self.clusters.insert(key, cluster.clone());
        cluster
    }

    /// Where the pod runs, which says what endpoints are near.
    pub(super) fn place(&mut self, place: Place) {
        if *self.place != place {
            self.place = Arc::new(place);
            self.clusters
                .values()
                .for_each(|cluster| cluster.place(&self.place));
        }
    }

    fn endpoints(&mut self, backend: &mesh::Backend, new: &mut Vec<String>) -> Arc<Endpoints> {
        let name = &backend.endpoints;
        if let Some(entry) = self.endpoints.get(name) {
            return entry.endpoints.clone();
        }
        let endpoints = Endpoints::new(name);
        if !backend.original_destination {
            new.push(name.clone());
            let entry = EndpointsEntry {
                endpoints: endpoints.clone(),
                version: String::new(),
                named: Vec::new(),
            };
            self.endpoints.insert(name.clone(), entry);
        }
        endpoints
    }

    /// Forgets what nobody uses any more and gives the names to unsubscribe from.
    pub(super) fn sweep(&mut self) -> Vec<Names> {
        let mut services = Vec::new();
        self.services.retain(|name, entry| {
            let keep = entry.lookup.receiver_count() > 0 || entry.used.elapsed() < IDLE;
            if !keep {
                services.push(name.to_string());
            }
            keep
        });
        // The table's own is the last one: no route leads there, no request is under way.
        self.clusters.retain(|_, cluster| Arc::strong_count(cluster) > 1);
        let mut endpoints = Vec::new();
        self.endpoints.retain(|name, entry| {
            let keep = Arc::strong_count(&entry.endpoints) > 1;
            if !keep {
                endpoints.push(name.clone());
            }
            keep
        });
        [(SERVICE, services), (ENDPOINTS, endpoints)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .collect()
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn sweep_connections(&self) {
        for cluster in self.clusters.values() {
            cluster.sweep();
        }
    }

    pub(super) fn dump(&self) -> serde_json::Value {
        let service = |(name, entry): (&Name, &ServiceEntry)| {
            let value = match &*entry.lookup.borrow() {
                Lookup::Pending => json!("pending"),
                Lookup::Unknown => json!("not in the mesh"),
                Lookup::Service(service) => json!({
                    "host": service.host,
                    "port": service.port,
                    "protocol": service.protocol.as_str_name(),
                    "http": service.http.iter().map(|route| json!({"route": route.name, "to": backends(&route.backends)})).collect::<Vec<_>>(),
                    "tls": service.tls.iter().map(|route| json!({"route": route.name, "to": backends(&route.backends)})).collect::<Vec<_>>(),
                    "tcp": backends(&service.tcp),
                }),
            };
            (name.to_string(), value)
        };
        let cluster = |cluster: &Arc<Cluster>| {
            let endpoints = cluster.endpoints();
            let endpoint = |one: &Arc<Endpoint>| json!({"address": one.address.to_string(), "inFlight": one.load(), "ejected": one.is_ejected()});
            (
                cluster.name().to_owned(),
                endpoints
                    .map(|all| all.iter().map(endpoint).collect::<Vec<_>>())
                    .into(),
            )
        };
        json!({
            "services": self.services.iter().map(service).collect::<serde_json::Map<_, _>>(),
            "endpoints": self.clusters.values().map(cluster).collect::<serde_json::Map<_, serde_json::Value>>(),
        })
    }
}

fn backends(backends: &[Backend]) -> Vec<String> {
    let line = |backend: &Backend| match &backend.target {
        Target::Cluster(cluster) => format!("{} of {}", backend.weight, cluster.name()),
        Target::Unavailable(why) => format!("{} unavailable: {why}", backend.weight),
    };
    backends.iter().map(line).collect()
}
