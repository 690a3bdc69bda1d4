//! What a connection speaks, from its first bytes: for ports whose protocol nobody declared, and for TLS that goes by the
//! name it asks for. Before it on the path: `outbound`; after it: `http` or `tcp`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

mod client_hello;

use client_hello::Hello;

/// How long to wait for a client to speak first. A protocol in which the server does (MySQL, SMTP) costs this
/// much once a connection; a declared port costs nothing.
const WAIT: Duration = Duration::from_millis(200);
/// How long to wait for the rest of what a client has begun to say, and for a client that is declared to speak first.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest method that is taken for HTTP, in bytes.
const LONGEST_METHOD: usize = 20;
/// What a client that speaks HTTP/2 says first (RFC 9113, section 3.4).
pub(crate) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    /// HTTP/1 or HTTP/2.
    Http,
    /// TLS that the client begins, with the name of the server that it asks for, if it does.
    Tls(Option<String>),
    /// Anything else.
    Opaque,
}

/// What may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sought {
    /// Whether it may be HTTP.
    pub http: bool,
    /// Whether the name that TLS asks for matters.
    pub tls: bool,
}

/// Reads until the protocol is clear, the client waits for the server, or it has ended; what was read is given
/// back in front of the rest.
///
/// # Errors
/// What reading says.
pub async fn detect<S: AsyncRead + Unpin>(
    mut stream: S,
    sought: Sought,
) -> io::Result<(Detected, Prefixed<S>)> {
    let mut prefix = BytesMut::with_capacity(256);
    let begun = Instant::now();
    loop {
        if let Some(detected) = judge(&prefix, sought) {
            return Ok((detected, Prefixed { prefix, stream }));
        }
        // Where only TLS is declared the server waits.
        let patience = !prefix.is_empty() || !sought.http;
        let deadline = begun + if patience { PATIENCE } else { WAIT };
        match timeout_at(deadline, stream.read_buf(&mut prefix)).await {
            Ok(Ok(0)) | Err(_) => return Ok((Detected::Opaque, Prefixed { prefix, stream })),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// Pure: what these first bytes are of what is looked for, or `None` if more are needed. What it has said it never takes
/// back: more bytes change nothing.
pub fn judge(bytes: &[u8], sought: Sought) -> Option<Detected> {
    let tls = match sought.tls {
        true => client_hello::parse(bytes),
        false => Hello::Not,
    };
    let http = match sought.http {
        true => judge_http(bytes),
        false => Some(Detected::Opaque),
    };
    match (tls, http) {
        (Hello::Whole(name), _) => Some(Detected::Tls(name)),
        (Hello::Partial, Some(Detected::Opaque)) => None,
        (Hello::Partial | Hello::Not, http) => http,
    }
}

/// Pure: what these first bytes are, or `None` if more are needed. HTTP/1 is a method of upper-case letters, a
/// space and a target that begins like one (RFC 9112, section 3.2).
fn judge_http(bytes: &[u8]) -> Option<Detected> {
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

impl<S> Prefixed<S> {
    /// A stream of which `prefix` has been read.
    pub(crate) fn new(prefix: BytesMut, stream: S) -> Self {
        Self { prefix, stream }
    }

    /// What has been read of the stream, and the stream.
    pub(crate) fn into_parts(self) -> (BytesMut, S) {
        (self.prefix, self.stream)
    }
}

impl<S> From<S> for Prefixed<S> {
    /// Nothing has been read yet.
    fn from(stream: S) -> Self {
        Self {
            prefix: BytesMut::new(),
            stream,
        }
    }
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

    const HTTP: Sought = Sought {
        http: true,
        tls: false,
    };
    const TLS: Sought = Sought {
        http: false,
        tls: true,
    };
    const BOTH: Sought = Sought {
        http: true,
        tls: true,
    };

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
            assert_eq!(judge_http(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_looked_for_is_found() {
        use Detected::{Http, Opaque, Tls};
        let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00\x00\x04\x13\x01\x13\x02\x01\x00";
        for (bytes, sought, expected) in [
            (&hello[..], HTTP, Some(Opaque)),
            (hello, TLS, Some(Tls(None))),
            (hello, BOTH, Some(Tls(None))),
            (&hello[..20], HTTP, Some(Opaque)),
            (&hello[..20], BOTH, None),
            (&hello[..1], TLS, None),
            (b"", TLS, None),
            (b"", BOTH, None),
            (b"GE", TLS, Some(Opaque)),
            (b"GE", BOTH, None),
            (b"GET /", BOTH, Some(Http)),
            (b"GET /", TLS, Some(Opaque)),
            (b"SSH-2.0", BOTH, Some(Opaque)),
            (b"\x16\x02", BOTH, Some(Opaque)),
        ] {
            assert_eq!(
                judge(bytes, sought),
                expected,
                "{sought:?} {}",
                bytes.escape_ascii()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hello_may_come_in_pieces_and_late() {
        let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00\x00\x04\x13\x01\x13\x02\x01\x00";
        for (sought, before) in [(BOTH, WAIT / 2), (TLS, WAIT * 10)] {
            let (mut client, server) = tokio::io::duplex(1024);
            let detecting = tokio::spawn(detect(server, sought));
            tokio::time::sleep(before).await;
            for piece in hello.chunks(7) {
                client.write_all(piece).await.unwrap();
                tokio::time::sleep(WAIT).await;
            }
            let (detected, mut stream) = detecting.await.unwrap().unwrap();
            assert_eq!(detected, Detected::Tls(None));
            let mut bytes = vec![0; hello.len()];
            stream.read_exact(&mut bytes).await.unwrap();
            assert_eq!(bytes, hello);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_waited_for_in_bounded_time() {
        for sought in [HTTP, BOTH, TLS] {
            let (mut client, server) = tokio::io::duplex(64);
            let begun = Instant::now();
            client.write_all(b"\x16").await.unwrap();
            let (detected, _) = detect(server, sought).await.unwrap();
            assert_eq!(detected, Detected::Opaque);
            let waited = if sought.tls { PATIENCE } else { Duration::ZERO };
            assert_eq!(begun.elapsed(), waited);
        }
    }

    #[tokio::test]
    async fn what_was_read_is_read_again() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"GE").await.unwrap();
        let detecting = tokio::spawn(detect(server, HTTP));
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
        assert_eq!(detect(server, HTTP).await.unwrap().0, Detected::Opaque);
        assert_eq!(begun.elapsed(), WAIT);
    }
}
