//! Services by name and by address, their endpoint slices, and the services that a pod is behind.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Change, EndpointSlice, Key, Service, host};

/// The part of the world that is about addresses.
#[derive(Debug, Default)]
pub(in crate::control) struct Services {
    services: HashMap<Key, Service>,
    by_address: HashMap<IpAddr, Key>,
    slices: HashMap<Key, EndpointSlice>,
    slices_by_service: HashMap<Key, BTreeSet<Key>>,
    slices_by_pod: HashMap<Key, BTreeSet<Key>>,
}

impl Services {
    pub(in crate::control) fn get(&self, key: &Key) -> Option<&Service> {
        self.services.get(key)
    }

    /// The service that has this cluster IP.
    pub(in crate::control) fn at(&self, address: IpAddr) -> Option<&Service> {
        self.services.get(self.by_address.get(&address)?)
    }

    /// The slices of a service, by name.
    pub(in crate::control) fn slices(&self, service: &Key) -> impl Iterator<Item = &EndpointSlice> {
        self.slices_by_service
            .get(service)
            .into_iter()
            .flatten()
            .filter_map(|key| self.slices.get(key))
    }

    /// The slices that a pod is in, by name.
    pub(in crate::control) fn slices_with(&self, pod: &Key) -> impl Iterator<Item = &EndpointSlice> {
        self.slices_by_pod
            .get(pod)
            .into_iter()
            .flatten()
            .filter_map(|key| self.slices.get(key))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.services.keys()
    }

    pub(super) fn slice_keys(&self) -> impl Iterator<Item = &Key> {
        self.slices.keys()
    }

    /// The services that a pod is behind.
    pub(super) fn of_pod(&self, pod: &Key) -> impl Iterator<Item = &Key> {
        self.slices_with(pod).map(|slice| &slice.service)
    }

    pub(super) fn insert(&mut self, service: Service, cluster_domain: &str, change: &mut Change) {
        if self.services.get(&service.key) == Some(&service) {
            return;
        }
        self.remove(&service.key, cluster_domain, change);
        for address in &service.addresses {
            self.by_address.insert(*address, service.key.clone());
        }
        self.touch(&service, cluster_domain, change);
        self.services.insert(service.key.clone(), service);
    }

    pub(super) fn remove(&mut self, key: &Key, cluster_domain: &str, change: &mut Change) {
        let Some(service) = self.services.remove(key) else {
            return;
        };
        for address in &service.addresses {
            // A service made again under another name may have the address already.
            if self.by_address.get(address) == Some(key) {
                self.by_address.remove(address);
            }
        }
        self.touch(&service, cluster_domain, change);
    }

    fn touch(&self, service: &Service, cluster_domain: &str, change: &mut Change) {
        let host = host::of(&service.key, cluster_domain);
        change.addresses.extend(&service.addresses);
        change.endpoints.insert(host.clone());
        change.hosts.insert(host);
        change.rules = true;
        // Its declared protocols are also how its pods treat what arrives.
        for slice in self.slices(&service.key) {
            change
                .pods
                .extend(slice.endpoints.iter().filter_map(|endpoint| endpoint.pod.clone()));
        }
    }

    pub(super) fn insert_slice(&mut self, slice: EndpointSlice, cluster_domain: &str, change: &mut Change) {
        let old = self.slices.get(&slice.key);
        if old == Some(&slice) {
            return;
        }
        let pods = |slice: &EndpointSlice| -> BTreeSet<Key> {
            slice
                .endpoints
                .iter()
                .filter_map(|endpoint| endpoint.pod.clone())
                .collect()
        };
        let new = pods(&slice);
        match old {
            // Only who came or went has other ports than before.
            Some(old) if old.ports == slice.ports && old.service == slice.service => {
                change.pods.extend(pods(old).symmetric_difference(&new).cloned());
            }
            Some(old) => change.pods.extend(pods(old).union(&new).cloned()),
            None => change.pods.extend(new.iter().cloned()),
        }
        self.take_slice(&slice.key.clone(), cluster_domain, change);
        change.endpoints.insert(host::of(&slice.service, cluster_domain));
        self.slices_by_service
            .entry(slice.service.clone())
            .or_default()
            .insert(slice.key.clone());
        for pod in new {
            self.slices_by_pod
                .entry(pod)
                .or_default()
                .insert(slice.key.clone());
        }
        self.slices.insert(slice.key.clone(), slice);
    }

    pub(super) fn remove_slice(&mut self, key: &Key, cluster_domain: &str, change: &mut Change) {
        if let Some(slice) = self.take_slice(key, cluster_domain, change) {
            change
                .pods
                .extend(slice.endpoints.into_iter().filter_map(|endpoint| endpoint.pod));
        }
    }

    fn take_slice(&mut self, key: &Key, cluster_domain: &str, change: &mut Change) -> Option<EndpointSlice> {
        let slice = self.slices.remove(key)?;
        change.endpoints.insert(host::of(&slice.service, cluster_domain));
        forget(&mut self.slices_by_service, &slice.service, key);
        for pod in slice
            .endpoints
            .iter()
            .filter_map(|endpoint| endpoint.pod.as_ref())
        {
            forget(&mut self.slices_by_pod, pod, key);
        }
        Some(slice)
    }
}

fn forget(index: &mut HashMap<Key, BTreeSet<Key>>, entry: &Key, slice: &Key) {
    if let Some(slices) = index.get_mut(entry) {
        slices.remove(slice);
        if slices.is_empty() {
            index.remove(entry);
        }
    }
}
