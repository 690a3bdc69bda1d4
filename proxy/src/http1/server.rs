//! A client's connection: its requests one after another, and what is written on it. Before it: `http`, which handles the
//! requests; beside it: `incoming`, their bodies.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

use super::answer::{Answer, Last, answer};
use super::head::{self, Asked};
use super::incoming::{Incoming, Shared};
use super::output::{Output, Sending};
use super::remaining::Remaining;
use super::{Error, Interims, MAX_HEAD, arriving};
use crate::body::{Body, Tunnel};
use crate::detect::Prefixed;
use crate::message::{Request, Response};
use crate::metrics::Metrics;

/// How long a client that is still sending has to read the answer, before the connection is closed and what it has not read
/// may be lost; as in nginx.
const LINGER: Duration = Duration::from_secs(5);

/// A client's connection.
pub(crate) struct Client {
    shared: Arc<Shared>,
    writer: OwnedWriteHalf,
    /// Interim responses on their way.
    interim: Output,
    /// Ends when the connection is to be closed as soon as it is idle.
    ending: BoxFuture<'static, ()>,
    /// How much of an unfinished head has been looked at.
    seen: usize,
    /// Of the last request.
    asked: Last,
}

/// What is to become of a connection after a response.
pub(crate) enum After {
    Next,
    Close,
    /// Its bytes are to be carried to this upstream, and back.
    Tunnel(Tunnel),
}

impl Client {
    /// `begun` is what has been read of the stream already, `ending` ends when an idle connection is to be closed.
    pub(crate) fn new(
        stream: TcpStream,
        begun: BytesMut,
        metrics: Arc<Metrics>,
        ending: BoxFuture<'static, ()>,
    ) -> Self {
        let (half, writer) = stream.into_split();
        Self {
            shared: Arc::new(Shared::new(half, begun, Arc::new(Interims::new(metrics)))),
            writer,
            interim: Output::default(),
            ending,
            seen: 0,
            asked: Last::unknown(),
        }
    }

    /// Where this client is told of interim responses.
    pub(crate) fn interims(&self) -> Arc<Interims> {
        self.shared.interims.clone()
    }

    /// Waits for a request; `None` if no more come.
    ///
    /// # Errors
    /// What comes is no request that can be read, and there can be no other behind it.
    pub(crate) async fn next(&mut self) -> Result<Option<(Request, Body)>, Error> {
        match poll_fn(|context| self.poll_head(context)).await {
            Ok(asked) => Ok(asked.map(|asked| self.begin(asked))),
            Err(Error::Io(error)) => {
                tracing::debug!(%error, "connection ended");
                Ok(None)
            }
            Err(error) => {
                // Nothing is known of this one, and nothing behind it can be read.
                self.asked = Last::unknown();
                self.shared.reading().lost = true;
                Err(error)
            }
        }
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Asked>, Error>> {
        let reading = &mut *self.shared.reading();
        reading.skip_empty_lines();
        let (half, rest) = (&mut reading.half, &mut reading.rest);
        let head = arriving::poll_head(half, rest, &mut self.seen, MAX_HEAD, context, head::request);
        if head.is_pending() {
            ready!(self.ending.as_mut().poll(context));
            return Poll::Ready(Ok(None));
        }
        head
    }

    fn begin(&mut self, asked: Asked) -> (Request, Body) {
        let Asked {
            request,
            framing,
            keep,
            waits,
        } = asked;
        self.asked = Last {
            method: request.method.clone(),
            version: request.version,
            keep,
        };
        let reading = &mut *self.shared.reading();
        reading.body = Remaining::new(framing);
        reading.waits = waits && !reading.body.is_over();
        let at_once = match reading.waits {
            true => None,
            false => reading.body.at_once(&mut reading.rest),
        };
        let body = match at_once {
            Some(bytes) => Body::text(bytes),
            None if reading.body.is_over() => Body::default(),
            None => Body::client(Incoming::new(self.shared.clone(), reading)),
        };
        (request, body)
    }

    /// What comes of handling a request, or `None` if the client has gone before. Interim responses are written meanwhile.
    pub(crate) async fn while_there<T>(
        &mut self,
        mut handling: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        poll_fn(|context| {
            if let Poll::Ready(handled) = handling.as_mut().poll(context) {
                return Poll::Ready(Some(handled));
            }
            if let Poll::Ready(Err(_)) = self.poll_interims(context) {
                return Poll::Ready(None);
            }
            let gone = self.shared.reading().poll_gone(context);
            gone.map(|()| None)
        })
        .await
    }

    fn poll_interims(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.interim.is_empty() {
                ready!(self.interim.poll_write(&mut self.writer, context))?;
            }
            match self.shared.interims.take() {
                Some(heads) => self.interim = Output::new(heads),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes the response to the last request, to its end, and says what is to become of the connection. The request's body
    /// must have been dropped, or be read in another task.
    pub(crate) async fn respond(&mut self, mut response: Response) -> After {
        let begun = poll_fn(|context| self.poll_interims(context)).await;
        let can_follow = poll_fn(|context| Poll::Ready(self.shared.reading().poll_answered(context))).await;
        let keep = self.asked.keep && can_follow;
        let Answer {
            head,
            framed,
            mut keep,
        } = answer(&self.asked, keep, &mut response);
        let (body, tunnel) = response.body.or_tunnel();
        let mut sending = Sending::new(head, body, framed);
        let sent = poll_fn(|context| {
            let sent = sending.poll(&mut self.writer, context);
            // A client that has gone is not waited for until there is something to tell it.
            if sent.is_pending() && self.shared.reading().poll_gone(context).is_ready() {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()));
            }
            sent
        });
        let sent = match begun {
            Ok(()) => sent.await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "response not sent to its end");
            return After::Close;
        }
        if let Some(upstream) = tunnel {
            return After::Tunnel(upstream);
        }
        keep &= poll_fn(|context| self.shared.reading().poll_end(context)).await;
        match keep {
            true => After::Next,
            false => After::Close,
        }
    }

    /// Closes the connection. A client that is still sending would lose what it has not read yet if it were closed at once.
    pub(crate) async fn close(mut self) {
        {
            let mut reading = self.shared.reading();
            if reading.is_at_an_end() {
                return;
            }
            // Somebody may still send it on, and must not do so with a hole in it.
            reading.lost = true;
        }
        let lingers = async {
            self.writer.shutdown().await?;
            poll_fn(|context| self.shared.reading().poll_discard(context)).await
        };
        let _ = timeout(LINGER, lingers).await;
    }

    /// The bytes that come from now on, whatever they are; `None` if somebody still holds the body of a request.
    pub(crate) fn into_stream(self) -> Option<Prefixed<TcpStream>> {
        let (half, rest) = Arc::into_inner(self.shared)?.into_rest();
        let stream = half.reunite(self.writer).ok()?;
        Some(Prefixed::new(rest, stream))
    }
}
