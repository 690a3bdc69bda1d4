//! The endpoints of one resource name as last told, for all the clusters that are made of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Cluster;
use super::endpoint::Described;

/// One resource of endpoints.
#[derive(Debug)]
pub struct Endpoints {
    name: String,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// `None` until the control plane has answered.
    endpoints: Option<Arc<[Described]>>,
    clusters: Vec<Weak<Cluster>>,
}

impl Endpoints {
    /// Endpoints that are not known yet.
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            told: Mutex::default(),
        })
    }

    /// The resource name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the endpoints. Those that stay keep their connections and counts.
    pub fn update(&self, endpoints: Vec<Described>) {
        let endpoints: Arc<[Described]> = endpoints.into();
        let clusters = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.endpoints = Some(endpoints.clone());
            told.clusters.retain(|cluster| cluster.strong_count() > 0);
            told.clusters.clone()
        };
        for cluster in clusters.iter().filter_map(Weak::upgrade) {
            cluster.update(endpoints.clone());
        }
    }

    /// Endpoints of which only the addresses are known.
    pub fn update_addresses(&self, addresses: &[SocketAddr]) {
        self.update(addresses.iter().copied().map(Described::at).collect());
    }

    /// From now on the cluster hears of what is told; so it does of what was told before.
    pub(super) fn follow(&self, cluster: &Arc<Cluster>) {
        let known = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.clusters.push(Arc::downgrade(cluster));
            told.endpoints.clone()
        };
        if let Some(endpoints) = known {
            cluster.update(endpoints);
        }
    }
}
