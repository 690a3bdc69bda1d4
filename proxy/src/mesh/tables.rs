//! The subscriptions and what has been said of each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Lookup;
use super::resources::Names;
use crate::balance::Cluster;
use crate::protocol::{ENDPOINTS, SERVICE};
use crate::route::{Backend, Target};

/// How long a destination that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) services: HashMap<SocketAddr, ServiceEntry>,
    pub(super) clusters: HashMap<String, ClusterEntry>,
    pub(super) workload_version: String,
}

#[derive(Debug)]
pub(super) struct ServiceEntry {
    pub(super) lookup: watch::Sender<Lookup>,
    pub(super) version: String,
    used: Instant,
}

#[derive(Debug)]
pub(super) struct ClusterEntry {
    pub(super) cluster: Arc<Cluster>,
    pub(super) version: String,
}

impl Tables {
    /// Follows the service at an address, and whether it is new.
    pub(super) fn service(&mut self, address: SocketAddr) -> (watch::Receiver<Lookup>, bool) {
        let mut new = false;
        let entry = self.services.entry(address).or_insert_with(|| {
            new = true;
            ServiceEntry {
                lookup: watch::Sender::new(Lookup::Pending),
                version: String::new(),
                used: Instant::now(),
            }
        });
        entry.used = Instant::now();
        (entry.lookup.subscribe(), new)
    }

    /// The endpoints of a name; a new name is noted in `new`.
    pub(super) fn cluster(&mut self, name: &str, new: &mut Vec<String>) -> Arc<Cluster> {
        if let Some(entry) = self.clusters.get(name) {
            return entry.cluster.clone();
        }
        let cluster = Arc::new(Cluster::new(name));
        new.push(name.to_owned());
        self.clusters.insert(
            name.to_owned(),
            ClusterEntry {
                cluster: cluster.clone(),
                version: String::new(),
            },
        );
        cluster
    }

    /// Forgets what nobody uses any more and gives the names to unsubscribe from.
    pub(super) fn sweep(&mut self) -> Vec<Names> {
        let mut services = Vec::new();
        self.services.retain(|address, entry| {
            let keep = entry.lookup.receiver_count() > 0 || entry.used.elapsed() < IDLE;
            if !keep {
                services.push(address.to_string());
            }
            keep
        });
        let mut clusters = Vec::new();
        self.clusters.retain(|name, entry| {
            // The table's own is the last one: no route leads there, no request is under way.
            let keep = Arc::strong_count(&entry.cluster) > 1;
            if !keep {
                clusters.push(name.clone());
            }
            keep
        });
        [(SERVICE, services), (ENDPOINTS, clusters)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .collect()
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn sweep_connections(&self) {
        for endpoint in self
            .clusters
            .values()
            .filter_map(|entry| entry.cluster.endpoints())
            .flat_map(|all| all.to_vec())
        {
            endpoint.pool.sweep();
        }
    }

    pub(super) fn dump(&self) -> serde_json::Value {
        let service = |(address, entry): (&SocketAddr, &ServiceEntry)| {
            let value = match &*entry.lookup.borrow() {
                Lookup::Pending => json!("pending"),
                Lookup::Unknown => json!("not in the mesh"),
                Lookup::Service(service) => json!({
                    "host": service.host,
                    "port": service.port,
                    "protocol": service.protocol.as_str_name(),
                    "http": service.http.iter().map(|route| json!({"route": route.name, "to": backends(&route.backends)})).collect::<Vec<_>>(),
                    "tcp": backends(&service.tcp),
                }),
            };
            (address.to_string(), value)
        };
        let cluster = |(name, entry): (&String, &ClusterEntry)| {
            let endpoints = entry.cluster.endpoints();
            let endpoint = |one: &Arc<crate::balance::Endpoint>| json!({"address": one.address.to_string(), "inFlight": one.load()});
            (
                name.clone(),
                endpoints
                    .map(|all| all.iter().map(endpoint).collect::<Vec<_>>())
                    .into(),
            )
        };
        json!({
            "services": self.services.iter().map(service).collect::<serde_json::Map<_, _>>(),
            "endpoints": self.clusters.iter().map(cluster).collect::<serde_json::Map<_, serde_json::Value>>(),
        })
    }
}

fn backends(backends: &[Backend]) -> Vec<String> {
    let line = |backend: &Backend| match &backend.target {
        Target::Cluster(cluster, balancer) => format!(
            "{} of {} by {}",
            backend.weight,
            cluster.name(),
            balancer.as_str_name()
        ),
        Target::Unavailable(why) => format!("{} unavailable: {why}", backend.weight),
    };
    backends.iter().map(line).collect()
}
