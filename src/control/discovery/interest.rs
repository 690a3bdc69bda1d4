//! What one proxy has asked for, what it was told of each, and what it has to be told next.
//! Before: `stream` reads requests and changes. After: `stream` compiles what is due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use outrigger_proxy::protocol::discovery::DeltaDiscoveryRequest;
use outrigger_proxy::protocol::{ENDPOINTS, SERVICE, WORKLOAD};

use crate::control::audience::{Topic, Topics};
use crate::control::compile::host_of_endpoints;
use crate::control::world::{Change, matches};

/// More than any application dials; a proxy that asks for more is broken.
const MOST_NAMES: usize = 20_000;
const LONGEST_NAME: usize = 4096;
const MOST_TYPES: usize = 8;

/// The names of a proxy by type.
#[derive(Debug)]
pub(super) struct Interest {
    /// The hosts and addresses below, for whoever tells of changes.
    topics: Topics,
    types: BTreeMap<String, Names>,
    by_host: HashMap<String, BTreeSet<Subscription>>,
    by_address: HashMap<IpAddr, BTreeSet<String>>,
    count: usize,
}

/// The names of one type.
#[derive(Debug, Default)]
struct Names {
    told: HashMap<String, Told>,
    due: BTreeSet<String>,
    /// The first request of a type is answered even if there is nothing to say, so that the proxy knows it was heard.
    greet: bool,
}

/// What a proxy knows of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    /// That there is nothing of this name.
    Absent,
    Version(String),
}

/// A name that has to do with a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subscription {
    Service(String),
    Endpoints(String),
}

/// What to say of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Same,
    New,
    Gone,
}

impl Interest {
    pub(super) fn new(topics: Topics) -> Self {
        Self {
            topics,
            types: BTreeMap::new(),
            by_host: HashMap::new(),
            by_address: HashMap::new(),
            count: 0,
        }
    }

    /// Takes a request's subscriptions in.
    ///
    /// # Errors
    /// What is too much, in words for the log of whoever sent it.
    pub(super) fn request(&mut self, request: &DeltaDiscoveryRequest) -> Result<(), String> {
        if !self.types.contains_key(&request.type_url) {
            if self.types.len() == MOST_TYPES {
                return Err(format!("more than {MOST_TYPES} types are asked for"));
            }
            self.types.insert(
                request.type_url.clone(),
                Names {
                    greet: true,
                    ..Default::default()
                },
            );
        }
        for name in &request.resource_names_unsubscribe {
            self.unsubscribe(&request.type_url, name);
        }
        for name in &request.resource_names_subscribe {
            if name.len() > LONGEST_NAME {
                return Err(format!("a name is longer than {LONGEST_NAME} bytes"));
            }
            // The protocol wants an answer also for a name that is subscribed to already: the proxy may have dropped it.
            let told = match request.initial_resource_versions.get(name) {
                Some(version) => Told::Version(version.clone()),
                None => Told::Nothing,
            };
            self.subscribe(&request.type_url, name, told);
            if self.count > MOST_NAMES {
                return Err(format!("more than {MOST_NAMES} names are subscribed to"));
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, type_url: &str, name: &str, told: Told) {
        let Some(names) = self.types.get_mut(type_url) else {
            return;
        };
        names.due.insert(name.to_owned());
        if names.told.insert(name.to_owned(), told).is_some() {
            return;
        }
        self.count += 1;
        match type_url {
            SERVICE => {
                if let Ok(address) = name.parse::<SocketAddr>() {
                    self.topics.add(Topic::Address(address.ip()));
                    self.by_address
                        .entry(address.ip())
                        .or_default()
                        .insert(name.to_owned());
                } else if let Some((host, _)) = name.rsplit_once(':') {
                    self.belongs(name, host);
                }
            }
            ENDPOINTS => {
                if let Some(host) = host_of_endpoints(name) {
                    self.topics.add(Topic::Host(host.to_owned()));
                    let names = self.by_host.entry(host.to_owned()).or_default();
                    names.insert(Subscription::Endpoints(name.to_owned()));
                }
            }
            _ => {}
        }
    }

    fn unsubscribe(&mut self, type_url: &str, name: &str) {
        let Some(names) = self.types.get_mut(type_url) else {
            return;
        };
        names.due.remove(name);
        if names.told.remove(name).is_none() {
            return;
        }
        self.count -= 1;
        let gone = match type_url {
            SERVICE => Subscription::Service(name.to_owned()),
            _ => Subscription::Endpoints(name.to_owned()),
        };
        match type_url {
            SERVICE => {
                if let Ok(address) = name.parse::<SocketAddr>()
                    && let Some(names) = self.by_address.get_mut(&address.ip())
                {
                    names.remove(name);
                    if names.is_empty() {
                        self.by_address.remove(&address.ip());
                        self.topics.remove(&Topic::Address(address.ip()));
                    }
                }
                self.by_host.retain(|host, names| {
                    if names.remove(&gone) && names.is_empty() {
                        self.topics.remove(&Topic::Host(host.clone()));
                    }
                    !names.is_empty()
                });
            }
            ENDPOINTS => {
                if let Some(host) = host_of_endpoints(name)
                    && let Some(names) = self.by_host.get_mut(host)
                {
                    names.remove(&gone);
                    if names.is_empty() {
                        self.by_host.remove(host);
                        self.topics.remove(&Topic::Host(host.to_owned()));
                    }
                }
            }
            _ => {}
        }
    }

    /// Remembers that an address is this host's, so that a change of the host is one of the address.
    pub(super) fn belongs(&mut self, address: &str, host: &str) {
        self.topics.add(Topic::Host(host.to_owned()));
        let names = self.by_host.entry(host.to_owned()).or_default();
        names.insert(Subscription::Service(address.to_owned()));
    }

    /// Makes due what a change touched. The proxy's own pod is the stream's business.
    pub(super) fn touch(&mut self, change: &Change) {
        let mut due = Vec::new();
        let services = |name: &&Subscription| matches!(name, Subscription::Service(_));
        for host in &change.hosts {
            due.extend(self.of_host(host).filter(services).cloned());
        }
        for host in &change.endpoints {
            due.extend(self.of_host(host).filter(|name| !services(name)).cloned());
        }
        for address in &change.addresses {
            let names = self.by_address.get(address).into_iter().flatten();
            due.extend(names.cloned().map(Subscription::Service));
        }
        for range in &change.ranges {
            let inside = self
                .by_address
                .iter()
                .filter(|(address, _)| range.contains(*address));
            due.extend(
                inside
                    .flat_map(|(_, names)| names)
                    .cloned()
                    .map(Subscription::Service),
            );
        }
        if change.named {
            due.extend(self.by_host.get("*").into_iter().flatten().cloned());
            self.touch_type(WORKLOAD);
        }
        for subscription in due {
            let (type_url, name) = match subscription {
                Subscription::Service(name) => (SERVICE, name),
                Subscription::Endpoints(name) => (ENDPOINTS, name),
            };
            if let Some(names) = self.types.get_mut(type_url)
                && names.told.contains_key(&name)
            {
                names.due.insert(name);
            }
        }
    }

    /// What has to do with a host, or with all that a wildcard means.
    fn of_host(&self, host: &str) -> impl Iterator<Item = &Subscription> {
        let own = self.by_host.get(host).into_iter().flatten();
        let below = host.starts_with('*').then(|| {
            let below = self.by_host.iter().filter(move |(name, _)| matches(host, name));
            below.flat_map(|(_, names)| names)
        });
        own.chain(below.into_iter().flatten())
    }

    /// Makes everything of a type due.
    pub(super) fn touch_type(&mut self, type_url: &str) {
        if let Some(names) = self.types.get_mut(type_url) {
            names.due.extend(names.told.keys().cloned());
        }
    }

    /// Makes everything due.
    pub(super) fn touch_all(&mut self) {
        [WORKLOAD, SERVICE, ENDPOINTS]
            .into_iter()
            .for_each(|type_url| self.touch_type(type_url));
    }

    /// A type of which something is due.
    pub(super) fn due_type(&self) -> Option<&str> {
        let mut types = self.types.iter();
        types
            .find(|(_, names)| names.greet || !names.due.is_empty())
            .map(|(type_url, _)| type_url.as_str())
    }

    /// Takes one name of a type that is due.
    pub(super) fn next_due(&mut self, type_url: &str) -> Option<String> {
        self.types.get_mut(type_url)?.due.pop_first()
    }

    /// Whether the type's first request was not answered yet; from now on it was.
    pub(super) fn greet(&mut self, type_url: &str) -> bool {
        self.types
            .get_mut(type_url)
            .is_some_and(|names| std::mem::take(&mut names.greet))
    }

    /// Compares what there is now (`None`: nothing) to what the proxy was told, which it is from here on.
    pub(super) fn tell(&mut self, type_url: &str, name: &str, version: Option<&str>) -> News {
        let Some(told) = self
            .types
            .get_mut(type_url)
            .and_then(|names| names.told.get_mut(name))
        else {
            return News::Same;
        };
        let (now, news) = match version {
            Some(version) => (Told::Version(version.to_owned()), News::New),
            None => (Told::Absent, News::Gone),
        };
        if *told == now {
            return News::Same;
        }
        *told = now;
        news
    }
}
