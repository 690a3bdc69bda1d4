//! A connection to an endpoint, encrypted or not, and how it is made. Belongs to `pool`.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::settings::Settings;
use super::tls::Inside;
use crate::listen::keep_alive;

/// One type for both, so that what uses it is in the program once.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// Connects as the settings say, the handshake included in the time for it.
///
/// # Errors
/// What the operating system or the handshake says, or that it took too long.
pub(super) async fn dial(address: SocketAddr, settings: &Settings, inside: Inside) -> io::Result<Stream> {
    within(address, settings.connect_timeout, async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match &settings.keepalive {
            Some(keepalive) => SockRef::from(&stream).set_tcp_keepalive(keepalive)?,
            None => keep_alive(SockRef::from(&stream))?,
        }
        Ok(match &settings.tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Encrypted(Box::new(tls.connect(stream, inside).await?)),
        })
    })
    .await
}

/// What is made of a connection, if it does not take too long.
pub(super) async fn within<T>(
    address: SocketAddr,
    at_most: Duration,
    made: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout(at_most, made).await.unwrap_or_else(|_| {
        let why = format!("no answer from {address} in {at_most:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    })
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Encrypted(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
