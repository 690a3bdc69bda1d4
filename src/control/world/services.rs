//! Services by name and by address, their endpoint slices, and the services that a pod is behind.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Change, Endpoint, EndpointSlice, Key, Service, ServicePort, entry, host};

/// The part of the world that is about addresses.
#[derive(Debug, Default)]
pub(in crate::control) struct Services {
    services: HashMap<Key, Service>,
    by_address: HashMap<IpAddr, Key>,
    /// Those that ServiceEntries make, by their host or wildcard.
    by_host: BTreeMap<String, BTreeSet<Key>>,
    /// Those that have ranges, and the ExternalName services: few.
    outside: BTreeSet<Key>,
    slices: HashMap<Arc<Key>, EndpointSlice>,
    slices_by_service: Slices<Key>,
    slices_by_pod: Slices<Key>,
    slices_by_address: Slices<IpAddr>,
}

/// The slices that something is in, by name. There are as many of these as pods, most of them with one slice, so that sets of
/// names would be most of the memory.
type Slices<T> = HashMap<T, Vec<Arc<Key>>>;

/// A service and the port of it that was dialled.
pub(in crate::control) type Dialled<'a> = (&'a Service, &'a ServicePort);

impl Services {
    pub(in crate::control) fn get(&self, key: &Key) -> Option<&Service> {
        self.services.get(key)
    }

    /// The service that has this cluster IP.
    pub(in crate::control) fn at(&self, address: IpAddr) -> Option<&Service> {
        self.services.get(self.by_address.get(&address)?)
    }

    /// The services that a connection to this address may mean, what is most specific first: the one whose cluster IP it is,
    /// those that have it in their ranges, and the headless ones that have a pod there.
    pub(in crate::control) fn dialled(&self, address: SocketAddr) -> Vec<Dialled<'_>> {
        if let Some(service) = self.at(address.ip()) {
            let port = service.port(address.port());
            return port.map(|port| (service, port)).into_iter().collect();
        }
        let mut found = Vec::new();
        for service in self.outside() {
            let inside = service
                .ranges
                .iter()
                .filter(|range| range.contains(&address.ip()));
            if let Some(range) = inside.max_by_key(|range| range.prefix_len())
                && let Some(port) = service.port(address.port())
            {
                found.push((Reverse(range.prefix_len()), (service, port)));
            }
        }
        found.sort_by_key(|(specific, (service, _))| (*specific, &service.key));
        let found = found.into_iter().map(|(_, dialled)| dialled);
        found.chain(self.headless(address)).collect()
    }

    /// The headless services that have a pod at this address, each with the port that it has there. Nothing translates ports
    /// on the way to a pod, so that it is the pod's that is dialled; the service's own comes second, as Istio takes it.
    fn headless(&self, address: SocketAddr) -> impl Iterator<Item = Dialled<'_>> {
        let slices = self.slices_by_address.get(&address.ip()).into_iter().flatten();
        let slices = slices.filter_map(|key| self.slices.get(key));
        let mut found: BTreeMap<&Key, Dialled<'_>> = BTreeMap::new();
        for slice in slices {
            let service = self.services.get(&slice.service);
            let Some(service) = service.filter(|service| service.original_destination) else {
                continue;
            };
            let there = |port: &&ServicePort| slice.ports.get(&port.name) == Some(&address.port());
            let port = service.ports.iter().find(there).or(service.port(address.port()));
            if let Some(port) = port {
                found.entry(&service.key).or_insert((service, port));
            }
        }
        found.into_values()
    }

    /// The services that ServiceEntries have for exactly this host or wildcard, by namespace.
    pub(in crate::control) fn with_host(&self, host: &str) -> impl Iterator<Item = &Service> {
        let keys = self.by_host.get(host).into_iter().flatten();
        keys.filter_map(|key| self.services.get(key))
    }

    /// The same for a host: those of its own name, else those of the most specific wildcard.
    pub(in crate::control) fn named(&self, host: &str) -> impl Iterator<Item = &Service> {
        let wildcards = self.by_host.range("*".to_owned().."+".to_owned());
        let wildcards = wildcards.filter(|(pattern, _)| host::matches(pattern, host));
        let pattern = match self.by_host.get_key_value(host) {
            Some((own, _)) => Some(own),
            None => wildcards
                .map(|(pattern, _)| pattern)
                .max_by_key(|pattern| pattern.len()),
        };
        pattern.into_iter().flat_map(|pattern| self.with_host(pattern))
    }

    /// The services that are dialled by what the mesh's own ranges do not say: by their names, or by ranges of their own.
    pub(in crate::control) fn outside(&self) -> impl Iterator<Item = &Service> {
        self.outside.iter().filter_map(|key| self.services.get(key))
    }

    /// The slices of a service, by name.
    pub(in crate::control) fn slices(&self, service: &Key) -> impl Iterator<Item = &EndpointSlice> {
        self.slices_by_service
            .get(service)
            .into_iter()
            .flatten()
            .filter_map(|key| self.slices.get(key))
    }

    /// Whether there is this very slice.
    pub(super) fn has_slice(&self, slice: &EndpointSlice) -> bool {
        self.slices.get(&slice.key) == Some(slice)
    }

    /// The slices of all services, in no order.
    pub(in crate::control) fn all_slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.slices.values()
    }

    /// The slices that a pod is in, by name.
    pub(in crate::control) fn slices_with(&self, pod: &Key) -> impl Iterator<Item = &EndpointSlice> {
        self.slices_by_pod
            .get(pod)
            .into_iter()
            .flatten()
            .filter_map(|key| self.slices.get(key))
    }

    /// The pod that a slice has at an address.
    pub(super) fn pod_at(&self, address: IpAddr) -> Option<&Key> {
        let slices = self.slices_by_address.get(&address).into_iter().flatten();
        let mut endpoints = slices
            .filter_map(|key| self.slices.get(key))
            .flat_map(|slice| &slice.endpoints);
        endpoints.find_map(|one| one.pod.as_ref().filter(|_| one.addresses.contains(&address)))
    }

    /// A pod as an endpoint at each of its addresses: as Kubernetes' own slices have them, else as the pod itself does.
    pub(super) fn endpoints_of(&self, pod: &Key) -> Vec<Endpoint> {
        let own = |endpoint: &&Endpoint| endpoint.pod.as_ref() == Some(pod);
        let of = |fits: fn(&Key) -> bool| {
            let slices = self.slices_with(pod).filter(move |slice| fits(&slice.key));
            let mut found: BTreeMap<IpAddr, Endpoint> = BTreeMap::new();
            let endpoints = slices.flat_map(|slice| slice.endpoints.iter().filter(own));
            for endpoint in endpoints {
                for address in &endpoint.addresses {
                    let known = found.entry(*address).or_insert_with(|| Endpoint {
                        addresses: vec![*address],
                        hostname: None,
                        ..endpoint.clone()
                    });
                    known.ready |= endpoint.ready;
                }
            }
            found
        };
        let mut found = of(|slice| !made(slice));
        if found.is_empty() {
            found = of(is_of_pod);
        }
        found.into_values().collect()
    }

    /// Of Kubernetes' own services; those that were made of something else go with it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.services.keys().filter(|key| !made(key))
    }

    /// Of Kubernetes' own slices.
    pub(super) fn slice_keys(&self) -> impl Iterator<Item = &Key> {
        self.slices.keys().map(Arc::as_ref).filter(|key| !made(key))
    }

    /// The pods whose addresses are known from themselves.
    pub(super) fn pod_addresses(&self) -> impl Iterator<Item = Key> {
        let slices = self.slices.keys().filter(|key| is_of_pod(key));
        slices.map(|key| Key::new(&key.namespace, &key.name[1..]))
    }

    /// The hosts of ServiceEntries, wildcards included.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &String> {
        self.by_host.keys()
    }

    /// The services that a pod is behind.
    pub(super) fn of_pod(&self, pod: &Key) -> impl Iterator<Item = &Key> {
        let slices = self.slices_with(pod).filter(|slice| !is_of_pod(&slice.key));
        slices.map(|slice| &slice.service)
    }

    pub(super) fn insert(&mut self, service: Service, cluster_domain: &str, change: &mut Change) {
        if self.services.get(&service.key) == Some(&service) {
            return;
        }
        self.remove(&service.key, cluster_domain, change);
        for address in &service.addresses {
            self.by_address.insert(*address, service.key.clone());
        }
        if service.is_entry() {
            let host = host::of(&service.key, cluster_domain);
            self.by_host.entry(host).or_default().insert(service.key.clone());
        }
        if is_outside(&service) {
            self.outside.insert(service.key.clone());
        }
        if let Some(slice) = entry::alias(&service) {
            self.insert_slice(slice, cluster_domain, change);
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
        self.outside.remove(key);
        let host = host::of(key, cluster_domain);
        if let Some(keys) = self.by_host.get_mut(&host) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_host.remove(&host);
            }
        }
        if let Some(slice) = entry::alias(&service) {
            self.remove_slice(&slice.key, cluster_domain, change);
        }
        self.touch(&service, cluster_domain, change);
    }

    fn touch(&self, service: &Service, cluster_domain: &str, change: &mut Change) {
        let host = host::of(&service.key, cluster_domain);
        change.addresses.extend(&service.addresses);
        change.ranges.extend(&service.ranges);
        change.named |= is_outside(service);
        change.endpoints.insert(host.clone());
        change.hosts.insert(host);
        for slice in self.slices(&service.key) {
            // Its declared protocols are also how its pods treat what arrives.
            let endpoints = slice.endpoints.iter();
            change
                .pods
                .extend(endpoints.clone().filter_map(|endpoint| endpoint.pod.clone()));
            if service.original_destination && !service.is_entry() {
                change
                    .addresses
                    .extend(endpoints.flat_map(|endpoint| &endpoint.addresses));
            }
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
        let key = Arc::new(slice.key.clone());
        self.take_slice(&key, cluster_domain, change);
        self.touch_slice(&slice, cluster_domain, change);
        note(&mut self.slices_by_service, slice.service.clone(), &key);
        for pod in new {
            note(&mut self.slices_by_pod, pod, &key);
        }
        for address in slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses) {
            note(&mut self.slices_by_address, *address, &key);
        }
        self.slices.insert(key, slice);
    }

    pub(super) fn remove_slice(&mut self, key: &Key, cluster_domain: &str, change: &mut Change) {
        if let Some(slice) = self.take_slice(key, cluster_domain, change) {
            change
                .pods
                .extend(slice.endpoints.into_iter().filter_map(|endpoint| endpoint.pod));
        }
    }

    /// Pods of a headless service are addresses that mean it.
    fn touch_slice(&self, slice: &EndpointSlice, cluster_domain: &str, change: &mut Change) {
        if is_of_pod(&slice.key) {
            return;
        }
        change.endpoints.insert(host::of(&slice.service, cluster_domain));
        let service = self.services.get(&slice.service);
        if service.is_some_and(|service| service.original_destination && !service.is_entry()) {
            let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
            change.addresses.extend(addresses);
        }
    }

    fn take_slice(&mut self, key: &Key, cluster_domain: &str, change: &mut Change) -> Option<EndpointSlice> {
        let slice = self.slices.remove(key)?;
        self.touch_slice(&slice, cluster_domain, change);
        forget(&mut self.slices_by_service, &slice.service, key);
        for endpoint in &slice.endpoints {
            if let Some(pod) = &endpoint.pod {
                forget(&mut self.slices_by_pod, pod, key);
            }
            for address in &endpoint.addresses {
                forget(&mut self.slices_by_address, address, key);
            }
        }
        Some(slice)
    }
}

/// Whether the service or slice is none of Kubernetes' own.
fn made(key: &Key) -> bool {
    key.name.contains('/')
}

/// Whether the slice says where a pod is.
fn is_of_pod(slice: &Key) -> bool {
    slice.name.starts_with('/')
}

fn is_outside(service: &Service) -> bool {
    service.is_entry() || !service.ranges.is_empty() || service.external_name.is_some()
}

fn note<T: Hash + Eq>(index: &mut Slices<T>, entry: T, slice: &Arc<Key>) {
    let slices = index.entry(entry).or_default();
    if let Err(place) = slices.binary_search(slice) {
        slices.insert(place, slice.clone());
    }
}

fn forget<T: Hash + Eq>(index: &mut Slices<T>, entry: &T, slice: &Key) {
    if let Some(slices) = index.get_mut(entry) {
        slices.retain(|one| **one != *slice);
        if slices.is_empty() {
            index.remove(entry);
        }
    }
}
