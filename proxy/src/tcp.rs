//! Opaque bytes, in both directions, each side closed when the other has ended. Before it on the path: `listen`
//! or `detect`; it uses `route::choose` and `balance` as `http` does.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::balance::{self, Ask, Overflow};
use crate::http::{Flag, Metered, Record};
use crate::pool;
use crate::route::{Backend, Target, choose};

mod copy;

pub(crate) use copy::copy;

/// How many endpoints are tried before a connection is given up: Istio's default of two retries.
pub(crate) const ATTEMPTS: usize = 3;

/// Why a connection was not carried.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// The rule leads nowhere, in words for the user who wrote it.
    #[error("{0}")]
    Unavailable(String),
    /// No endpoint took the connection.
    #[error("no endpoint of {cluster} took the connection; {tried} tried, the last said: {last}")]
    NoEndpoint {
        /// The name of the endpoints.
        cluster: String,
        /// How many were tried.
        tried: usize,
        /// The last one's error.
        last: String,
    },
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Carries a connection that came from `peer` and was to go to `dialled` to one of the endpoints of one of the backends, until
/// both sides have ended. Nothing limits how long it is silent unless a rule does.
///
/// # Errors
/// See [`TcpError`].
pub(crate) async fn balanced(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    backends: &[Backend],
    peer: SocketAddr,
    dialled: SocketAddr,
    record: &mut Record,
) -> Result<(), TcpError> {
    let cluster = match choose(backends, balance::random()).map(|backend| &backend.target) {
        Some(Target::Cluster(cluster)) => cluster,
        Some(Target::Unavailable(why)) => {
            record.flag(Flag::NoClusterFound);
            return Err(TcpError::Unavailable(why.clone()));
        }
        None => {
            record.flag(Flag::NoRouteFound);
            return Err(TcpError::Unavailable("no backend".into()));
        }
    };
    record.cluster(cluster.name());
    let key = cluster.hash_connection(peer.ip()).key;
    let mut tried = Vec::new();
    let mut last = "there is none".to_owned();
    while tried.len() < ATTEMPTS
        && let Some(endpoint) = cluster
            .pick(Ask {
                tried: &tried,
                key,
                original: Some(dialled),
                ..Ask::default()
            })
            .await
    {
        record.upstream(endpoint.address);
        match pool::open(&endpoint).await {
            Ok(upstream) => return Ok(carry(stream, upstream, record).await?),
            // The limit is that of all endpoints together.
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<Overflow>()) => {
                record.flag(Flag::UpstreamOverflow);
                return Err(TcpError::Unavailable(error.to_string()));
            }
            Err(error) => last = format!("{}: {error}", endpoint.address),
        }
        tried.push(endpoint.address);
    }
    record.flag(match tried.is_empty() {
        true => Flag::NoHealthyUpstream,
        false => Flag::UpstreamConnectionFailure,
    });
    Err(TcpError::NoEndpoint {
        cluster: cluster.name().to_owned(),
        tried: tried.len(),
        last,
    })
}

/// Carries a connection to one address.
///
/// # Errors
/// That it cannot be reached, or what broke the connection.
pub(crate) async fn direct(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    record: &mut Record,
) -> io::Result<()> {
    record.upstream(address);
    let upstream = pool::connect(address)
        .await
        .inspect_err(|_| record.flag(Flag::UpstreamConnectionFailure))?;
    carry(stream, upstream, record).await
}

async fn carry(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    upstream: impl AsyncRead + AsyncWrite + Unpin,
    record: &mut Record,
) -> io::Result<()> {
    match record.meter() {
        Some(meter) => copy(Metered::new(stream, meter), upstream).await,
        None => copy(stream, upstream).await,
    }
}
