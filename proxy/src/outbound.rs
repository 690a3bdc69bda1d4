//! Connections that leave the pod: to the endpoints that the rules choose, or, for what the mesh does not know,
//! to where the application dialled. Before it on the path: `listen`; after it: `detect`, then `http` or `tcp`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::detect::{Detected, Prefixed, Sought, detect};
use crate::drain::Drain;
use crate::http::{self, AccessLog, Downstream, Record, Upstream};
use crate::listen::Connection;
use crate::mesh::{Destination, Mesh};
use crate::metrics::{Carried, Direction, Metrics};
use crate::protocol::mesh::Protocol;
use crate::route::{Backend, TlsRoute};
use crate::tcp;

/// Istio's name for where connections go that are not the mesh's.
const PASSTHROUGH: &str = "PassthroughCluster";

/// What every outbound connection needs.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// What is known of the mesh.
    pub mesh: Mesh,
    /// The end of the proxy.
    pub drain: Drain,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What becomes of each request and connection.
    pub log: AccessLog,
}

impl Outbound {
    /// Carries a connection to its end.
    pub async fn carry(self, connection: Connection) {
        let Connection {
            stream,
            peer,
            destination: address,
            ..
        } = connection;
        match self.mesh.find(address).await {
            Ok(destination) => self.within(stream, peer, destination).await,
            Err(why) => match self.mesh.refusal(address, why) {
                Some(refusal) => {
                    self.count(Carried::Blocked);
                    self.within(stream, peer, refusal).await;
                }
                None => {
                    self.count(why);
                    let mut record = Record::connection(&self.log, peer, address);
                    record.cluster(PASSTHROUGH);
                    let ended = tcp::direct(stream, address, &mut record).await;
                    record.ended(&ended);
                    if let Err(error) = ended {
                        tracing::debug!(%address, %error, "passed-through connection ended");
                    }
                }
            },
        }
    }

    async fn within(self, stream: TcpStream, peer: SocketAddr, destination: Destination) {
        let Some(service) = destination.service() else {
            return;
        };
        let sought = Sought {
            http: service.protocol == Protocol::Unspecified,
            tls: !service.tls.is_empty(),
        };
        match service.protocol {
            Protocol::Http => self.http(stream.into(), peer, destination).await,
            Protocol::Tcp if !sought.tls => {
                self.tcp(stream, peer, destination, &service.tcp, None).await;
            }
            Protocol::Tcp | Protocol::Unspecified => match detect(stream, sought).await {
                Ok((Detected::Http, stream)) => self.http(stream, peer, destination).await,
                Ok((Detected::Tls(name), stream)) => {
                    let route = TlsRoute::find(&service.tls, name.as_deref());
                    let backends = route.map_or(&service.tcp, |route| &route.backends);
                    let name = name.as_deref();
                    self.tcp(stream, peer, destination, backends, name).await;
                }
                Ok((Detected::Opaque, stream)) => {
                    self.tcp(stream, peer, destination, &service.tcp, None).await;
                }
                Err(error) => {
                    tracing::debug!(address = %destination.address(), %error, "connection ended before it said anything")
                }
            },
        }
    }

    async fn http(self, stream: Prefixed<TcpStream>, peer: SocketAddr, destination: Destination) {
        self.count(Carried::Http);
        let downstream = Downstream {
            peer,
            destination: destination.address(),
            drain: self.drain,
            metrics: self.metrics,
            log: self.log,
        };
        http::serve(stream, Upstream::Mesh(destination), downstream).await;
    }

    /// `name` is the server that TLS asks for.
    async fn tcp(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
        destination: Destination,
        backends: &[Backend],
        name: Option<&str>,
    ) {
        let address = destination.address();
        self.count(Carried::Tcp);
        let mut record = Record::connection(&self.log, peer, address);
        record.server_name(name.unwrap_or_default());
        let ended = tcp::balanced(stream, backends, peer, address, &mut record).await;
        record.ended(&ended);
        match ended {
            Ok(()) => {}
            Err(tcp::TcpError::Io(error)) => tracing::debug!(%address, %error, "connection broke"),
            Err(error) => {
                self.count(Carried::Failed);
                tracing::warn!(%address, %error, "connection not carried");
            }
        }
    }

    fn count(&self, carried: Carried) {
        self.metrics.connection(Direction::Outbound, carried);
    }
}
