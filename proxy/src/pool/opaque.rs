//! A connection for opaque bytes: nobody else uses it, and it ends when it is silent for too long or too old.
//! Belongs to `pool`; `tcp` uses it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::stream::{Stream, dial};
use super::tls::Inside;
use crate::balance::{Endpoint, InFlight, Limit, Outcome, Permit};

/// A connection that counts on its endpoint and its cluster for as long as it lives.
#[derive(Debug)]
pub(crate) struct Opaque {
    stream: Stream,
    idle: Option<Idle>,
    end: Option<Pin<Box<Sleep>>>,
    _in_flight: InFlight,
    _permit: Permit,
}

#[derive(Debug)]
struct Idle {
    after: Duration,
    /// Looked at when it ends, and not moved with every byte.
    timer: Pin<Box<Sleep>>,
    last: Instant,
}

/// Connects, within the limits of the endpoint's cluster, and tells the endpoint what came of it.
///
/// # Errors
/// What the operating system says, that it took too long, or, with an [`Overflow`](crate::balance::Overflow) inside,
/// that the cluster has as many connections as it may.
pub(crate) async fn open(endpoint: &Arc<Endpoint>) -> io::Result<Opaque> {
    let shared = &endpoint.shared;
    let permit = shared.take(Limit::Connections).map_err(io::Error::other)?;
    let in_flight = endpoint.begin();
    let settings = &shared.connect;
    let stream = dial(endpoint.address, settings, Inside::Bytes).await;
    endpoint.report(match &stream {
        Ok(_) => Outcome::Connected,
        Err(_) => Outcome::ConnectFailed,
    });
    Ok(Opaque {
        stream: stream?,
        idle: settings.tcp_idle.map(|after| Idle {
            after,
            timer: Box::pin(sleep(after)),
            last: Instant::now(),
        }),
        end: settings.longest.map(|longest| Box::pin(sleep(longest))),
        _in_flight: in_flight,
        _permit: permit,
    })
}

impl Opaque {
    /// Whether its time is over; `moved` if bytes were carried just now.
    fn check(&mut self, context: &mut Context<'_>, moved: bool) -> io::Result<()> {
        let over = |why: String| Err(io::Error::new(io::ErrorKind::TimedOut, why));
        if let Some(end) = &mut self.end
            && end.as_mut().poll(context).is_ready()
        {
            return over("the DestinationRule's maxConnectionDuration is over".to_owned());
        }
        if let Some(idle) = &mut self.idle {
            if moved {
                idle.last = Instant::now();
            }
            while idle.timer.as_mut().poll(context).is_ready() {
                let until = idle.last + idle.after;
                if until <= Instant::now() {
                    return over(format!("no byte in either direction for {:?}", idle.after));
                }
                idle.timer.as_mut().reset(until);
            }
        }
        Ok(())
    }
}

impl AsyncRead for Opaque {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let moved = buffer.filled().len() > before;
        match self.check(context, moved) {
            Err(error) if !moved => Poll::Ready(Err(error)),
            _ => read,
        }
    }
}

impl AsyncWrite for Opaque {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check(context, written.is_ready())?;
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.check(context, written.is_ready())?;
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
