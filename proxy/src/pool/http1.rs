//! HTTP/1.1 connections to one endpoint, one request at a time. Belongs to `pool`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::runtime::{self, Handle};
use tokio::time::Instant;

use super::NoConnection;
use super::early::Early;
use super::gate::{Gate, Slot};
use super::settings::Settings;
use super::stream::{dial, within};
use super::tls::Inside;
use crate::balance::{Endpoint, Limit};
use crate::body::Body;

/// Those that wait for a request; the one that was used last is used next.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Idle>);

/// A connection goes with each request and comes back: on the heap, so that it need not be moved.
type Idle = Vec<Box<Connection>>;

/// One connection, in use or idle.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<Body>,
    /// Whose thread carries its bytes.
    home: runtime::Id,
    made: Instant,
    /// Since when it is idle.
    since: Instant,
    requests: u32,
    _slot: Slot,
}

impl Connections {
    /// A connection for one request, made if none is idle, and whether it was there before. `fresh` asks for a new
    /// one: those that are kept have just shown to be closed.
    pub(super) async fn take(
        &self,
        endpoint: &Endpoint,
        gate: &Arc<Gate>,
        fresh: bool,
    ) -> Result<(Box<Connection>, bool), NoConnection> {
        let home = Handle::current().id();
        match self.idle(&endpoint.shared.connect, fresh, Some(home)) {
            Some(connection) => Ok((connection, true)),
            // On the heap: what it takes to connect is much to carry around in requests that need not.
            None => Box::pin(self.wait(endpoint, gate, fresh, home)).await,
        }
    }

    async fn wait(
        &self,
        endpoint: &Endpoint,
        gate: &Arc<Gate>,
        fresh: bool,
        home: runtime::Id,
    ) -> Result<(Box<Connection>, bool), NoConnection> {
        let settings = &endpoint.shared.connect;
        let _pending = endpoint.shared.take(Limit::PendingRequests)?;
        loop {
            let freed = gate.freed.notified();
            tokio::pin!(freed);
            // From here on nothing that becomes free is missed.
            freed.as_mut().enable();
            if let Some(connection) = self.idle(settings, fresh, Some(home)) {
                return Ok((connection, true));
            }
            if let Some(slot) = gate.room(&endpoint.shared) {
                return Ok((connect(endpoint, slot).await?, false));
            }
            // Slower, since each request is handed from one thread to another; but there may be no more of them.
            if let Some(connection) = self.idle(settings, fresh, None) {
                return Ok((connection, true));
            }
            freed.await;
        }
    }

    /// The most recently used one that is still open, of this thread's or of any.
    fn idle(&self, settings: &Settings, fresh: bool, home: Option<runtime::Id>) -> Option<Box<Connection>> {
        loop {
            let mut all = self.lock();
            let at = all
                .iter()
                .rposition(|idle| home.is_none_or(|home| idle.home == home))?;
            let idle = all.remove(at);
            drop(all);
            let usable = idle.since.elapsed() < settings.http1_idle && idle.sender.is_ready();
            if usable && !fresh && !settings.is_spent(|| idle.made.elapsed(), idle.requests) {
                return Some(idle);
            }
        }
    }

    /// Keeps it for the next request, unless it had its share.
    pub(super) fn keep(&self, mut connection: Box<Connection>, settings: &Settings, gate: &Gate) {
        connection.requests += 1;
        if settings.is_spent(|| connection.made.elapsed(), connection.requests) {
            return;
        }
        connection.since = Instant::now();
        self.lock().push(connection);
        gate.freed.notify_one();
    }

    /// Closes what has been idle for too long.
    pub(super) fn sweep(&self, settings: &Settings) {
        self.lock().retain(|idle| {
            idle.since.elapsed() < settings.http1_idle
                && !idle.sender.is_closed()
                && !settings.is_spent(|| idle.made.elapsed(), idle.requests)
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics while it is held; a poisoned list is a list all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(endpoint: &Endpoint, slot: Slot) -> Result<Box<Connection>, NoConnection> {
    let (address, settings) = (endpoint.address, &endpoint.shared.connect);
    let stream = dial(address, settings, Inside::Http1).await?;
    let handshake = async {
        let made = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(Early::new(stream)));
        made.await.map_err(std::io::Error::other)
    };
    let (sender, connection) = within(address, settings.connect_timeout, handshake).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%address, %error, "upstream connection ended");
        }
    });
    let now = Instant::now();
    Ok(Box::new(Connection {
        sender,
        made: now,
        since: now,
        home: Handle::current().id(),
        requests: 0,
        _slot: slot,
    }))
}
