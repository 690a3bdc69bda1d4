//! HTTP/1.1 connections to one endpoint, one request at a time. Belongs to `pool`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, StatusCode};
use tokio::runtime::{self, Handle};
use tokio::time::Instant;

use super::gate::{Gate, Slot};
use super::settings::Settings;
use super::stream::{Stream, dial};
use super::tls::Inside;
use super::{Broken, Hold, Lease, NoConnection, SendError, relay};
use crate::balance::{Endpoint, Limit};
use crate::body::Body;
use crate::http1::{self, Exchanged, Interims, Wire, exchange};
use crate::message::{Request, Response};

/// Those that wait for a request; the one that was used last is used next.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Idle>);

/// A connection goes with each request and comes back: on the heap, so that it need not be moved.
type Idle = Vec<Box<Connection>>;

/// One connection, in use or idle.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wire: Wire<Stream>,
    /// Whether it can be used for another request.
    usable: bool,
    /// Whose thread hears of its bytes.
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
            let mut idle = all.remove(at);
            drop(all);
            let usable = idle.since.elapsed() < settings.http1_idle && idle.wire.is_quiet();
            if usable && !fresh && !settings.is_spent(|| idle.made.elapsed(), idle.requests) {
                return Some(idle);
            }
        }
    }

    /// Keeps it for the next request, unless it had its share or something came behind its last response.
    pub(super) fn keep(&self, mut connection: Box<Connection>, settings: &Settings, gate: &Gate) {
        connection.requests += 1;
        if !connection.usable || !connection.wire.rest.is_empty() {
            return;
        }
        if settings.is_spent(|| connection.made.elapsed(), connection.requests) {
            return;
        }
        connection.since = Instant::now();
        self.lock().push(connection);
        gate.freed.notify_one();
    }

    /// Closes what has been idle for too long.
    pub(super) fn sweep(&self, settings: &Settings) {
        self.lock().retain_mut(|idle| {
            idle.since.elapsed() < settings.http1_idle
                && idle.wire.is_quiet()
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
    let settings = &endpoint.shared.connect;
    let stream = dial(endpoint.address, settings, Inside::Http1).await?;
    let now = Instant::now();
    Ok(Box::new(Connection {
        wire: Wire::new(stream),
        usable: true,
        made: now,
        since: now,
        home: Handle::current().id(),
        requests: 0,
        _slot: slot,
    }))
}

/// See [`super::send`].
pub(super) async fn send(
    endpoint: &Arc<Endpoint>,
    request: &Request,
    body: &mut Body,
    fresh: bool,
    interims: Option<&Interims>,
) -> Result<Response, SendError> {
    let on = endpoint.begin();
    let pool = &endpoint.pool;
    let (mut connection, reused) = pool.http1.take(endpoint, &pool.gate, fresh).await?;
    let permit = match endpoint.shared.take(Limit::Requests) {
        Ok(permit) => permit,
        Err(overflow) => {
            pool.http1.keep(connection, &endpoint.shared.connect, &pool.gate);
            return Err(SendError::Overflow(overflow));
        }
    };
    let exchanged = exchange(&mut connection.wire, request, std::mem::take(body), interims).await;
    let Exchanged {
        mut response,
        mut remaining,
        upload,
        keep,
    } = exchanged.map_err(|error| broken(&error, reused))?;
    let tunnel = is_tunnel(request, &response);
    connection.usable = keep && !tunnel;
    let at_once = remaining.at_once(&mut connection.wire.rest);
    let lease = Lease {
        hold: Hold::Http1(connection),
        on,
        _permit: permit,
    };
    response.body = match (upload, at_once) {
        _ if tunnel => Body::tunnel(lease),
        (Some(upload), None) if remaining.is_over() => {
            relay::upload(lease, upload);
            Body::default()
        }
        (Some(upload), at_once) => relay::both(lease, upload, remaining, at_once),
        (None, Some(whole)) => {
            lease.finish();
            Body::text(whole)
        }
        (None, None) => Body::server(remaining, lease),
    };
    Ok(response)
}

/// Whether what follows is no HTTP (RFC 9110, sections 9.3.6 and 15.2.2).
fn is_tunnel(request: &Request, response: &Response) -> bool {
    response.status == StatusCode::SWITCHING_PROTOCOLS
        || request.method == Method::CONNECT && response.status.is_success()
}

fn broken(error: &http1::NoAnswer, reused: bool) -> SendError {
    let (how, why) = match error {
        http1::NoAnswer::Closed(_) => (
            Broken::Closed,
            format!("connection broke before the response: {error}"),
        ),
        http1::NoAnswer::Malformed(_) => (Broken::Malformed, format!("the response cannot be read: {error}")),
        http1::NoAnswer::Body(_) => (Broken::Request, error.to_string()),
    };
    SendError::Broken { how, why, reused }
}
