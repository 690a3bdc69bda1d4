//! HTTP/2 connections to one endpoint, shared by the requests to it. Belongs to `pool`.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::{CONNECTION_WINDOW, MAX_HEADERS, STREAM_WINDOW, connect};
use crate::body::Body;

type Sender = http2::SendRequest<Body>;

/// How long a connection without streams is kept. The server announces when it closes one.
const IDLE: Duration = Duration::from_secs(60);
/// How many streams one connection is given, in number: what RFC 9113, section 6.5.2, has servers allow at least.
/// A stream beyond the server's limit would wait for another to end, and a watch never does.
const STREAMS: usize = 100;

/// The connections to one endpoint.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Vec<Connection>>);

#[derive(Debug)]
struct Connection {
    /// Being made once for all who wait for it, or made.
    sender: Shared<BoxFuture<'static, Result<Sender, Arc<io::Error>>>>,
    /// Shared with each stream: their number is the count of its clones.
    streams: Arc<()>,
    used: Instant,
}

/// Held for as long as a stream is open.
#[derive(Debug)]
pub(super) struct Stream(#[expect(dead_code, reason = "it counts by being there")] Arc<()>);

impl Connections {
    /// A connection that has room, made if there is none, and whether it was there before.
    pub(super) async fn share(&self, address: SocketAddr) -> io::Result<(Sender, Stream, bool)> {
        let (sender, stream) = {
            let mut all = self.all();
            all.retain(|connection| !connection.is_over());
            let room = all.iter().position(|connection| connection.streams() < STREAMS);
            let at = room.unwrap_or_else(|| {
                all.push(Connection::new(address));
                all.len() - 1
            });
            all[at].used = Instant::now();
            (all[at].sender.clone(), Stream(all[at].streams.clone()))
        };
        let reused = sender.peek().is_some();
        match sender.await {
            Ok(sender) => Ok((sender, stream, reused)),
            Err(error) => Err(io::Error::new(error.kind(), error)),
        }
    }

    /// Closes what is idle for too long.
    pub(super) fn sweep(&self) {
        self.all().retain(|connection| {
            !connection.is_over() && (connection.streams() > 0 || connection.used.elapsed() < IDLE)
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // Nothing panics while it is held; a poisoned list is a list all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn new(address: SocketAddr) -> Self {
        let sender = async move { handshake(address).await.map_err(Arc::new) };
        Self {
            sender: sender.boxed().shared(),
            streams: Arc::default(),
            used: Instant::now(),
        }
    }

    fn streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }

    /// It could not be made, or was closed, or the server has announced that it closes it.
    fn is_over(&self) -> bool {
        match self.sender.peek() {
            None => false,
            Some(Ok(sender)) => sender.is_closed(),
            Some(Err(_)) => true,
        }
    }
}

async fn handshake(address: SocketAddr) -> io::Result<Sender> {
    let stream = connect(address).await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
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
