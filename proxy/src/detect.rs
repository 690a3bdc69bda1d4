//! What a connection speaks, from its first bytes, for ports whose protocol nobody declared.
//! Before it on the path: `listen`; after it: `http` or `tcp`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

/// How long to wait for a client to speak first. A protocol in which the server does (MySQL, SMTP) costs this
/// much once a connection; a declared port costs nothing.
const WAIT: Duration = Duration::from_millis(200);
/// The longest method that is taken for HTTP, in bytes.
const LONGEST_METHOD: usize = 20;
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// HTTP/1 or HTTP/2.
    Http,
    /// Anything else.
    Opaque,
}

/// Reads until the protocol is clear, the client waits for the server, or it has ended; what was read is given
/// back in front of the rest.
///
/// # Errors
/// What reading says.
pub async fn detect<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Detected, Prefixed<S>)> {
    let mut prefix = BytesMut::with_capacity(256);
    let deadline = Instant::now() + WAIT;
    loop {
        if let Some(detected) = judge(&prefix) {
            return Ok((detected, Prefixed { prefix, stream }));
        }
        match timeout_at(deadline, stream.read_buf(&mut prefix)).await {
            Ok(Ok(0)) | Err(_) => return Ok((Detected::Opaque, Prefixed { prefix, stream })),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// Pure: what these first bytes are, or `None` if more are needed. HTTP/1 is a method of upper-case letters, a
/// space and a target that begins like one (RFC 9112, section 3.2).
fn judge(bytes: &[u8]) -> Option<Detected> {
    if HTTP2_PREFACE.starts_with(&bytes[..bytes.len().min(HTTP2_PREFACE.len())]) {
        return (bytes.len() >= HTTP2_PREFACE.len()).then_some(Detected::Http);
    }
    let method = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-')
        .count();
    if method > LONGEST_METHOD {
        return Some(Detected::Opaque);
    }
    match (bytes.get(method), bytes.get(method + 1)) {
        (None, _) => None,
        (Some(b' '), None) if method > 0 => None,
        (Some(b' '), Some(b'/' | b'*' | b'h' | b'H')) if method > 0 => Some(Detected::Http),
        // CONNECT has an authority for its target.
        (Some(b' '), Some(_)) if &bytes[..method] == b"CONNECT" => Some(Detected::Http),
        _ => Some(Detected::Opaque),
    }
}

/// A stream whose first bytes have been read already, and are read again.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: BytesMut,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..count]);
        self.prefix.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[test]
    fn first_bytes() {
        use Detected::{Http, Opaque};
        for (bytes, expected) in [
            (&b""[..], None),
            (b"G", None),
            (b"GET ", None),
            (b"GET /", Some(Http)),
            (b"OPTIONS * HTTP/1.1", Some(Http)),
            (b"M-SEARCH * HTTP/1.1", Some(Http)),
            (b"GET http://a/", Some(Http)),
            (b"CONNECT a:443", Some(Http)),
            (b"PRI", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Http)),
            (b"PROPFIND /", Some(Http)),
            (b"PING\r\n", Some(Opaque)),
            (b"*1\r\n$4\r\nPING\r\n", Some(Opaque)),
            (b"\x16\x03\x01", Some(Opaque)),
            (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAA", Some(Opaque)),
            (b" /", Some(Opaque)),
            (b"get /", Some(Opaque)),
        ] {
            assert_eq!(judge(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[tokio::test]
    async fn what_was_read_is_read_again() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"GE").await.unwrap();
        let detecting = tokio::spawn(detect(server));
        client.write_all(b"T /a HTTP/1.1").await.unwrap();
        let (detected, mut stream) = detecting.await.unwrap().unwrap();
        assert_eq!(detected, Detected::Http);
        let mut bytes = [0; 13];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"GET /a HTTP/1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_the_server_is_opaque_in_bounded_time() {
        let (_client, server) = tokio::io::duplex(64);
        let begun = Instant::now();
        assert_eq!(detect(server).await.unwrap().0, Detected::Opaque);
        assert_eq!(begun.elapsed(), WAIT);
    }
}
