//! What this proxy knows of the mesh: its own pod, and the destinations that the pod has used. Filled by
//! `discovery`, asked by `outbound`; it keeps answering from what it has for as long as the control plane is away.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::balance::{ANSWER, Counts};
use crate::metrics::Carried;
use crate::protocol::mesh;
use crate::route::Service;

mod name;
mod resolved;
mod resources;
mod tables;
mod workload;

pub use name::Name;
pub use resources::{Names, Refused};
pub use workload::Workload;

use tables::Tables;

/// How long it may have been away before new destinations go straight through: a moment is enough to connect to
/// another replica, and nobody notices it.
const AWAY: Duration = Duration::from_secs(1);

/// Cheap to clone; all clones share one state.
#[derive(Debug, Clone)]
pub struct Mesh {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tables: Mutex<Tables>,
    workload: watch::Sender<Option<Arc<Workload>>>,
    link: watch::Sender<Link>,
    /// Names to subscribe to.
    wanted: mpsc::UnboundedSender<Name>,
}

/// The connection to the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Connected.
    Up,
    /// Away, since then.
    Away(Instant),
}

/// What is known of one destination.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Asked for, not answered yet.
    Pending,
    /// A service of the mesh.
    Service(Arc<Service>),
    /// Nothing of the mesh has this address.
    Unknown,
}

/// A destination in use: follows what the control plane says of it.
#[derive(Debug, Clone)]
pub struct Destination {
    address: SocketAddr,
    lookup: watch::Receiver<Lookup>,
    mesh: Mesh,
}

impl Destination {
    /// The address that the client dialled.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The service at it now, or `None` if it is gone.
    pub fn service(&self) -> Option<Arc<Service>> {
        match &*self.lookup.borrow() {
            Lookup::Service(service) => Some(service.clone()),
            Lookup::Pending | Lookup::Unknown => None,
        }
    }

    /// Where the address may mean several services, the one that a request's authority names, with the same address.
    pub async fn named(&self, authority: &str) -> Option<Self> {
        let service = self.service().filter(|service| !service.hosts.is_empty())?;
        let name = Name::Host(service.hosts.find(authority)?);
        self.mesh.lookup(name, self.address).await.ok()
    }

    /// A destination that is known without asking: `service` is for nobody else.
    fn fixed(mesh: &Mesh, address: SocketAddr, service: Service) -> Self {
        let (_, lookup) = watch::channel(Lookup::Service(Arc::new(service)));
        Self {
            address,
            lookup,
            mesh: mesh.clone(),
        }
    }
}

impl Mesh {
    /// Knows nothing yet. The receiver yields the names that `discovery` has to subscribe to.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Name>) {
        let (wanted, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            tables: Mutex::default(),
            workload: watch::Sender::new(None),
            link: watch::Sender::new(Link::Away(Instant::now())),
            wanted,
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            receiver,
        )
    }

    /// The service at an address, waiting for the control plane's answer if it has not been asked before. Where none has
    /// the address, but there are services on its port that are known by their names alone, what is known of those.
    ///
    /// # Errors
    /// Why the connection goes to `address` as it is, or nowhere: the address is outside of the mesh, no service has it,
    /// or nobody is there to ask.
    pub async fn find(&self, address: SocketAddr) -> Result<Destination, Carried> {
        let workload = self.workload();
        let inside = workload
            .as_ref()
            .is_none_or(|workload| workload.may_contain(address.ip()));
        let found = match inside {
            true => self.lookup(Name::Address(address), address).await,
            false => Err(Carried::Outside),
        };
        match (found, workload) {
            (Err(Carried::Outside | Carried::Unknown), Some(workload))
                if workload.has_names_on(address.port()) =>
            {
                let all = Name::Host(format!("*:{}", address.port()));
                self.lookup(all, address).await
            }
            (found, _) => found,
        }
    }

    async fn lookup(&self, name: Name, address: SocketAddr) -> Result<Destination, Carried> {
        let Some(mut lookup) = self.subscribe(name.clone()) else {
            tracing::warn!(%name, "too many hosts are in use: nothing is asked of this one");
            return Err(Carried::Unknown);
        };
        let answered = lookup.wait_for(|lookup| !matches!(lookup, Lookup::Pending));
        tokio::select! {
            biased;
            // The sender is in the tables, which only let go of it when nobody listens.
            answered = answered => if !matches!(answered.as_deref(), Ok(Lookup::Service(_))) { return Err(Carried::Unknown) },
            () = self.away() => return Err(Carried::ControlPlaneAway),
            () = tokio::time::sleep(ANSWER) => {
                tracing::warn!(%name, "the control plane did not say what this is; it goes straight through");
                return Err(Carried::ControlPlaneAway);
            }
        }
        Ok(Destination {
            address,
            lookup,
            mesh: self.clone(),
        })
    }

    /// Where a connection goes that the mesh does not know, for `why`, if the pod's Sidecar does not let it through: HTTP
    /// is answered with 502, and anything else is closed. What could not be asked for goes through all the same, since
    /// the mesh may well know it.
    pub fn refusal(&self, address: SocketAddr, why: Carried) -> Option<Destination> {
        let refused = self.workload()?.registry_only() && why != Carried::ControlPlaneAway;
        let response = mesh::DirectResponse {
            status: 502,
            body: Default::default(),
        };
        let route = mesh::HttpRoute {
            name: "block_all".to_owned(),
            instead: Some(mesh::http_route::Instead::DirectResponse(response)),
            ..Default::default()
        };
        let backend = mesh::Backend {
            unavailable:
                "no service has this address, and the outboundTrafficPolicy of this pod is REGISTRY_ONLY"
                    .to_owned(),
            cluster: "BlackHoleCluster".to_owned(),
            weight: 1,
            ..Default::default()
        };
        let published = mesh::Service {
            host: address.ip().to_string(),
            port: address.port().into(),
            http_routes: vec![route],
            tcp_backends: vec![backend],
            ..Default::default()
        };
        let cluster = |backend: &mesh::Backend| self.tables().cluster(backend, &mut Vec::new());
        let service = refused.then(|| Service::new(published, cluster))?;
        match service {
            Ok(service) => Some(Destination::fixed(self, address, service)),
            // Port 0 alone.
            Err(error) => {
                tracing::warn!(%address, %error, "cannot be refused in words");
                None
            }
        }
    }

    /// The names of endpoints that have to be resolved.
    pub(crate) fn names_to_resolve(&self) -> BTreeSet<String> {
        let mut tables = self.tables();
        let names = tables.names_to_resolve();
        tables.resolved.keep(|name| names.contains(name));
        names
    }

    /// Says when there may be more of them.
    pub(crate) fn names_changed(&self) -> Arc<Notify> {
        self.tables().resolved.changes()
    }

    /// Takes in what a name stands for, or that it could not be resolved; gives whether it stands for anything now.
    pub(crate) fn resolved(&self, name: &str, addresses: Option<Vec<IpAddr>>) -> bool {
        let mut tables = self.tables();
        tables.resolved(name, addresses);
        !tables.resolved.addresses(name).is_empty()
    }

    /// What the control plane said of this proxy's pod, or `None` before it did.
    pub fn workload(&self) -> Option<Arc<Workload>> {
        self.shared.workload.borrow().clone()
    }

    /// Waits for the first word of the control plane: then the proxy is ready.
    pub async fn ready(&self) {
        // The sender is part of self: it cannot be gone.
        let _ = self.shared.workload.subscribe().wait_for(Option::is_some).await;
    }

    /// What is subscribed to, and what of it is known, as lines for a person.
    pub fn dump(&self) -> serde_json::Value {
        let (link, workload) = (*self.shared.link.borrow(), self.workload());
        let mut dump = self.tables().dump();
        dump["controlPlane"] = match link {
            Link::Up => "connected".into(),
            Link::Away(since) => format!("away for {} s", since.elapsed().as_secs()).into(),
        };
        dump["workload"] = workload.map(|workload| workload.to_string()).into();
        dump
    }

    /// What balancing counts.
    pub(crate) fn counts(&self) -> Counts {
        self.tables().counts.clone()
    }

    fn subscribe(&self, name: Name) -> Option<watch::Receiver<Lookup>> {
        let (receiver, new) = self.tables().service(name.clone())?;
        if new {
            // Nobody receives only when the proxy is ending.
            let _ = self.shared.wanted.send(name);
        }
        Some(receiver)
    }

    /// Ends once the control plane has been away for [`AWAY`].
    async fn away(&self) {
        let mut link = self.shared.link.subscribe();
        loop {
            let state = *link.borrow_and_update();
            match state {
                Link::Away(since) => tokio::select! {
                    () = tokio::time::sleep_until(since + AWAY) => return,
                    _ = link.changed() => {}
                },
                Link::Up => {
                    let _ = link.changed().await;
                }
            }
        }
    }

    pub(crate) fn set_link(&self, link: Link) {
        self.shared.link.send_replace(link);
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Nothing panics while it is held; a poisoned table is a table all the same.
        self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
