//! Connections that arrive at the pod: to its own application, on the port that the client dialled. Before it on
//! the path: `listen`; after it: `http` or `tcp`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::balance::Endpoint;
use crate::drain::Drain;
use crate::http::{self, AccessLog, Downstream, Record, Upstream};
use crate::listen::Connection;
use crate::mesh::Mesh;
use crate::metrics::{Carried, Direction, Metrics};
use crate::protocol::mesh::Protocol;
use crate::tcp;

/// Ports of the application that connections are kept for. Scans of more than this go without.
const KEPT_PORTS: usize = 64;

/// What every inbound connection needs.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Says what the pod's ports speak.
    pub mesh: Mesh,
    /// The end of the proxy.
    pub drain: Drain,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What becomes of each request and connection.
    pub log: AccessLog,
    /// The application's ports, with connections kept to each.
    pub application: Application,
}

/// The pod's own application.
#[derive(Debug, Clone, Default)]
pub struct Application(Arc<Mutex<HashMap<SocketAddr, Arc<Endpoint>>>>);

impl Inbound {
    /// Carries a connection to its end. Only what a Service declares as HTTP is read as such: elsewhere there is
    /// nothing to gain from looking, and a server that speaks first would have to wait for it.
    pub async fn carry(self, connection: Connection) {
        let Connection {
            stream,
            peer,
            destination: address,
            ..
        } = connection;
        let declared = self
            .mesh
            .workload()
            .and_then(|workload| workload.inbound(address.port()));
        if declared == Some(Protocol::Http) {
            self.metrics.connection(Direction::Inbound, Carried::Http);
            let upstream = Upstream::Local(self.application.endpoint(address));
            let downstream = Downstream {
                peer,
                destination: address,
                drain: self.drain,
                metrics: self.metrics,
                log: self.log,
            };
            return http::serve(stream.into(), upstream, downstream).await;
        }
        self.metrics.connection(Direction::Inbound, Carried::Tcp);
        let mut record = Record::connection(&self.log, peer, address);
        record.application(address);
        let ended = tcp::direct(stream, address, &mut record).await;
        record.ended(&ended);
        if let Err(error) = ended {
            tracing::debug!(%address, %error, "connection ended");
        }
    }
}

impl Application {
    fn endpoint(&self, address: SocketAddr) -> Arc<Endpoint> {
        let mut ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ports.len() >= KEPT_PORTS && !ports.contains_key(&address) {
            return Endpoint::new(address);
        }
        ports
            .entry(address)
            .or_insert_with(|| Endpoint::new(address))
            .clone()
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self) {
        for endpoint in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            endpoint.sweep();
        }
    }
}
