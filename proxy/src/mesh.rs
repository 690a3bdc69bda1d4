//! What this proxy knows of the mesh: its own pod, and the destinations that the pod has used. Filled by
//! `discovery`, asked by `outbound`; it keeps answering from what it has for as long as the control plane is away.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::balance::{ANSWER, Counts};
use crate::metrics::Carried;
use crate::route::Service;

mod resources;
mod tables;
mod workload;

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
    /// Addresses to subscribe to.
    wanted: mpsc::UnboundedSender<SocketAddr>,
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
}

impl Mesh {
    /// Knows nothing yet. The receiver yields the addresses that `discovery` has to subscribe to.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<SocketAddr>) {
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

    /// The service at an address, waiting for the control plane's answer if it has not been asked before.
    ///
    /// # Errors
    /// Why the connection goes to `address` as it is: the address is outside of the mesh, no service has it, or
    /// nobody is there to ask.
    pub async fn find(&self, address: SocketAddr) -> Result<Destination, Carried> {
        if self
            .workload()
            .is_some_and(|workload| !workload.may_contain(address.ip()))
        {
            return Err(Carried::Outside);
        }
        let mut lookup = self.subscribe(address);
        let answered = lookup.wait_for(|lookup| !matches!(lookup, Lookup::Pending));
        tokio::select! {
            biased;
            // The sender is in the tables, which only let go of it when nobody listens.
            answered = answered => if !matches!(answered.as_deref(), Ok(Lookup::Service(_))) { return Err(Carried::Unknown) },
            () = self.away() => return Err(Carried::ControlPlaneAway),
            () = tokio::time::sleep(ANSWER) => {
                tracing::warn!(%address, "the control plane did not say what this address is; it goes straight through");
                return Err(Carried::ControlPlaneAway);
            }
        }
        Ok(Destination { address, lookup })
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

    fn subscribe(&self, address: SocketAddr) -> watch::Receiver<Lookup> {
        let (receiver, new) = self.tables().service(address);
        if new {
            // Nobody receives only when the proxy is ending.
            let _ = self.shared.wanted.send(address);
        }
        receiver
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
