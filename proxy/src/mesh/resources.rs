//! Resources as they arrive: decoded, made ready, and put into the tables, or refused one by one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use prost::Message;

use super::resolved::Resolved;
use super::tables::Tables;
use super::{Lookup, Mesh, Name, Workload};
use crate::balance::{Described, Place};
use crate::protocol::{ENDPOINTS, SELF, SERVICE, WORKLOAD, discovery, mesh};
use crate::route::Service;

/// Resource names of one type URL.
pub type Names = (&'static str, Vec<String>);

/// A resource that cannot be used. What was known of it before stays in use.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {why}")]
pub struct Refused {
    name: String,
    why: String,
}

impl Mesh {
    /// Takes a response in. Gives the endpoints that have to be subscribed to for it, and what of it was refused.
    pub fn apply(&self, response: discovery::DeltaDiscoveryResponse) -> (Vec<String>, Vec<Refused>) {
        let mut tables = self.tables();
        let (mut wanted, mut refused) = (Vec::new(), Vec::new());
        for resource in response.resources {
            let value = resource.resource.map(|any| any.value).unwrap_or_default();
            let applied = match response.type_url.as_str() {
                WORKLOAD => self.workload_resource(&mut tables, &value, resource.version),
                SERVICE => tables.service_resource(&resource.name, &value, resource.version, &mut wanted),
                ENDPOINTS => tables.endpoints_resource(&resource.name, &value, resource.version),
                other => Err(format!("type {other} is not known to this version")),
            };
            if let Err(why) = applied {
                refused.push(Refused {
                    name: resource.name,
                    why,
                });
            }
        }
        for name in response.removed_resources {
            match response.type_url.as_str() {
                SERVICE => tables.service_gone(&name),
                ENDPOINTS => tables.endpoints_gone(&name),
                // The pod is gone: so will this proxy be, and until then it works on.
                _ => {}
            }
        }
        (wanted, refused)
    }

    fn workload_resource(&self, tables: &mut Tables, value: &[u8], version: String) -> Result<(), String> {
        let published = mesh::Workload::decode(value).map_err(|error| error.to_string())?;
        let place = Place {
            locality: published.locality.clone().unwrap_or_default(),
            labels: published.labels.clone().into_iter().collect(),
            node: published.node.clone(),
        };
        let workload = Workload::new(published)?;
        tables.workload_version = version;
        tables.place(place);
        self.shared.workload.send_replace(Some(Arc::new(workload)));
        Ok(())
    }

    /// Everything that is subscribed to, with the versions that are here: the first words on a new stream.
    pub fn subscriptions(&self) -> Vec<(Names, HashMap<String, String>)> {
        let tables = self.tables();
        let known = |versions: Vec<(String, &String)>| -> HashMap<String, String> {
            let held = versions.into_iter().filter(|(_, version)| !version.is_empty());
            held.map(|(name, version)| (name, version.clone())).collect()
        };
        let services: Vec<_> = tables
            .services
            .iter()
            .map(|(name, entry)| (name.to_string(), &entry.version))
            .collect();
        let endpoints: Vec<_> = tables
            .endpoints
            .iter()
            .map(|(name, entry)| (name.clone(), &entry.version))
            .collect();
        let own = vec![(SELF.to_owned(), &tables.workload_version)];
        [(WORKLOAD, own), (SERVICE, services), (ENDPOINTS, endpoints)]
            .into_iter()
            .filter(|(_, versions)| !versions.is_empty())
            .map(|(kind, versions)| {
                (
                    (kind, versions.iter().map(|(name, _)| name.clone()).collect()),
                    known(versions),
                )
            })
            .collect()
    }

    /// Forgets what is idle; gives what to unsubscribe from.
    pub fn sweep(&self) -> Vec<Names> {
        self.tables().sweep()
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep_connections(&self) {
        self.tables().sweep_connections();
    }
}

impl Tables {
    fn service_resource(
        &mut self,
        name: &str,
        value: &[u8],
        version: String,
        wanted: &mut Vec<String>,
    ) -> Result<(), String> {
        let published = mesh::Service::decode(value).map_err(|error| error.to_string())?;
        let service = Service::new(published, |backend| self.cluster(backend, wanted))
            .map_err(|error| error.to_string())?;
        // Nobody asks any more: an answer that crossed our unsubscribing.
        if let Some(entry) = self.services.get_mut(&Name::parse(name)) {
            entry.version = version;
            entry.lookup.send_replace(Lookup::Service(Arc::new(service)));
        }
        Ok(())
    }

    fn endpoints_resource(&mut self, name: &str, value: &[u8], version: String) -> Result<(), String> {
        let published = mesh::Endpoints::decode(value).map_err(|error| error.to_string())?;
        let (mut told, mut named) = (published.endpoints, Vec::new());
        for one in &told {
            let port = u16::try_from(one.port).is_ok_and(|port| port != 0);
            if !port || one.address.is_empty() {
                return Err(format!("endpoint {}:{} is not an address", one.address, one.port));
            }
        }
        if told.iter().any(is_named) {
            named = std::mem::take(&mut told);
        }
        let Some(entry) = self.endpoints.get_mut(name) else {
            return Ok(());
        };
        (entry.version, entry.named) = (version, named);
        match entry.named.is_empty() {
            true => entry.endpoints.update(described(told, &self.resolved)),
            // Held until the first answer, as if the control plane had not spoken yet.
            false => self.resolve_entry(name),
        }
        Ok(())
    }

    fn resolve_entry(&mut self, name: &str) {
        let Some(entry) = self.endpoints.get(name) else {
            return;
        };
        let names = entry.named.iter().filter(|one| is_named(one));
        let missing = names.filter(|one| !self.resolved.knows(&one.address)).count();
        if missing == 0 {
            entry
                .endpoints
                .update(described(entry.named.clone(), &self.resolved));
        }
        self.resolved.changed();
    }

    /// The names of endpoints, each once.
    pub(super) fn names_to_resolve(&self) -> BTreeSet<String> {
        let named = self.endpoints.values().flat_map(|entry| &entry.named);
        let named = named.filter(|one| is_named(one));
        named.map(|one| one.address.clone()).collect()
    }

    /// Takes in what a name stands for now; what cannot be resolved stays what it was.
    pub(super) fn resolved(&mut self, name: &str, addresses: Option<Vec<IpAddr>>) {
        if !self.resolved.set(name, addresses) {
            return;
        }
        let using: Vec<_> = self
            .endpoints
            .iter()
            .filter(|(_, entry)| entry.named.iter().any(|one| one.address == name))
            .map(|(resource, _)| resource.clone())
            .collect();
        for resource in using {
            self.resolve_entry(&resource);
        }
    }

    fn service_gone(&mut self, name: &str) {
        if let Some(entry) = self.services.get_mut(&Name::parse(name)) {
            entry.version = String::new();
            entry.lookup.send_replace(Lookup::Unknown);
        }
    }

    fn endpoints_gone(&mut self, name: &str) {
        if let Some(entry) = self.endpoints.get_mut(name) {
            entry.version = String::new();
            entry.named = Vec::new();
            entry.endpoints.update(Vec::new());
        }
    }
}

fn is_named(endpoint: &mesh::Endpoint) -> bool {
    endpoint.address.parse::<IpAddr>().is_err()
}

/// With the addresses that names stand for in their place.
fn described(published: Vec<mesh::Endpoint>, resolved: &Resolved) -> Vec<Described> {
    let mut all = Vec::with_capacity(published.len());
    for one in published {
        let port = u16::try_from(one.port).unwrap_or_default();
        match one.address.parse::<IpAddr>() {
            Ok(ip) => all.push(Described::new(one, SocketAddr::new(ip, port))),
            Err(_) => {
                let addresses = resolved.addresses(&one.address).iter();
                all.extend(addresses.map(|ip| Described::new(one.clone(), SocketAddr::new(*ip, port))));
            }
        }
    }
    // Two names may stand for one address.
    let mut seen = HashSet::new();
    all.retain(|one| seen.insert(one.address));
    all
}
