//! HTTP/2 connections to one endpoint, shared by the requests to it. Belongs to `pool`.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared as Once};
use http::{Method, uri};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::runtime::{self, Handle};
use tokio::time::Instant;

use super::gate::{Gate, Slot};
use super::settings::Settings;
use super::stream::dial;
use super::tls::Inside;
use super::{CONNECTION_WINDOW, Hold, Lease, NoConnection, STREAM_WINDOW, SendError};
use crate::balance::{Endpoint, Limit, Shared};
use crate::body::Body;
use crate::http1::MAX_HEAD;
use crate::message::{Request, Response};

mod broken;

type Sender = http2::SendRequest<Body>;
/// Being made once for all who wait for it, or made.
type Made = Once<BoxFuture<'static, Result<Sender, Arc<io::Error>>>>;

/// The connections to one endpoint.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Vec<Connection>>);

#[derive(Debug)]
struct Connection {
    sender: Made,
    /// Shared with each stream: their number is the count of its clones.
    streams: Arc<()>,
    /// Whose thread carries its bytes.
    home: runtime::Id,
    made: Instant,
    used: Instant,
    /// How many it was given.
    requests: u32,
    /// It lets go of its place when it is forgotten.
    _slot: Slot,
}

/// Held for as long as a stream is open.
#[derive(Debug)]
pub(super) struct Stream {
    counted: Option<Arc<()>>,
    gate: Arc<Gate>,
}

impl Connections {
    /// A connection that has room, made if there is none, and whether it was there before.
    pub(super) async fn share(
        &self,
        endpoint: &Endpoint,
        gate: &Arc<Gate>,
    ) -> Result<(Sender, Stream, bool), NoConnection> {
        let settings = &endpoint.shared.connect;
        let home = Handle::current().id();
        if let Some((sender, stream)) = self.open(settings, gate, Some(home))
            && let Some(Ok(sender)) = sender.peek()
        {
            return Ok((sender.clone(), stream, true));
        }
        let _pending = endpoint.shared.take(Limit::PendingRequests)?;
        let (sender, stream) = loop {
            let freed = gate.freed.notified();
            tokio::pin!(freed);
            // From here on nothing that becomes free is missed.
            freed.as_mut().enable();
            if let Some(open) = self.open(settings, gate, Some(home)) {
                break open;
            }
            if let Some(slot) = gate.room(&endpoint.shared) {
                self.all().push(Connection::new(endpoint, slot, home));
                continue;
            }
            // Slower, since each request is handed from one thread to another; but there may be no more of them.
            if let Some(open) = self.open(settings, gate, None) {
                break open;
            }
            freed.await;
        };
        let reused = sender.peek().is_some();
        match sender.await {
            Ok(sender) => Ok((sender, stream, reused)),
            Err(error) => Err(io::Error::new(error.kind(), error).into()),
        }
    }

    /// A stream of a connection that has room for one, of this thread's or of any.
    fn open(
        &self,
        settings: &Settings,
        gate: &Arc<Gate>,
        home: Option<runtime::Id>,
    ) -> Option<(Made, Stream)> {
        let mut all = self.all();
        all.retain(|connection| !connection.is_over(settings));
        let connection = all.iter_mut().find(|one| {
            home.is_none_or(|home| one.home == home)
                && one.streams() < settings.streams
                && !settings.is_spent(|| one.made.elapsed(), one.requests)
        })?;
        connection.used = Instant::now();
        connection.requests += 1;
        let stream = Stream {
            counted: Some(connection.streams.clone()),
            gate: gate.clone(),
        };
        Some((connection.sender.clone(), stream))
    }

    /// Closes what is idle for too long.
    pub(super) fn sweep(&self, settings: &Settings) {
        self.all().retain(|connection| {
            let idle = connection.streams() == 0 && connection.used.elapsed() >= settings.http2_idle;
            !idle && !connection.is_over(settings)
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing panics while it is held; a poisoned list is a list all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn new(endpoint: &Endpoint, slot: Slot, home: runtime::Id) -> Self {
        let (address, shared) = (endpoint.address, endpoint.shared.clone());
        let sender = async move { handshake(address, &shared).await.map_err(Arc::new) };
        let now = Instant::now();
        Self {
            sender: sender.boxed().shared(),
            streams: Arc::default(),
            home,
            made: now,
            used: now,
            requests: 0,
            _slot: slot,
        }
    }

    fn streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }

    /// It could not be made, or was closed, or the server has announced that it closes it, or it had its share.
    fn is_over(&self, settings: &Settings) -> bool {
        let spent = self.streams() == 0 && settings.is_spent(|| self.made.elapsed(), self.requests);
        spent
            || match self.sender.peek() {
                None => false,
                Some(Ok(sender)) => sender.is_closed(),
                Some(Err(_)) => true,
            }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        drop(self.counted.take());
        self.gate.freed.notify_one();
    }
}

/// See [`super::send`].
pub(super) async fn send(
    endpoint: &Arc<Endpoint>,
    request: &Request,
    body: &mut Body,
) -> Result<Response, SendError> {
    let on = endpoint.begin();
    let pool = &endpoint.pool;
    let (mut sender, stream, reused) = pool.http2.share(endpoint, &pool.gate).await?;
    let permit = endpoint
        .shared
        .take(Limit::Requests)
        .map_err(SendError::Overflow)?;
    let tunnel = request.method == Method::CONNECT;
    let mut request = request.to_http(std::mem::take(body));
    if endpoint.shared.connect.is_encrypted() {
        encrypted(&mut request);
    }
    let sent = sender.try_send_request(request).await;
    let lease = Lease {
        hold: Hold::Http2(stream),
        on,
        _permit: permit,
    };
    match sent {
        Ok(mut response) if tunnel && response.status().is_success() => {
            let stream = hyper::upgrade::on(&mut response);
            Ok(response.map(|_| Body::http2_tunnel(stream)).into())
        }
        Ok(response) => Ok(response.map(|incoming| Body::http2(incoming, lease)).into()),
        Err(mut error) => match error.take_message() {
            Some(unsent) => {
                *body = unsent.into_body();
                Err(SendError::Unsent(error.into_error().to_string()))
            }
            None => {
                let error = error.into_error();
                Err(SendError::Broken {
                    how: broken::how(&error),
                    why: broken::why(&error),
                    reused,
                })
            }
        },
    }
}

/// The pseudo-header `:scheme` is that of the connection that the request is sent on.
fn encrypted(request: &mut http::Request<Body>) {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    if parts.scheme.is_some() {
        parts.scheme = Some(uri::Scheme::HTTPS);
    }
    if let Ok(uri) = parts.try_into() {
        *request.uri_mut() = uri;
    }
}

async fn handshake(address: SocketAddr, shared: &Shared) -> io::Result<Sender> {
    let stream = dial(address, &shared.connect, Inside::Http2).await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD as u32)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%address, %error, "upstream connection ended");
        }
    });
    Ok(sender)
}
