//! One GET request to the pod's own application on a connection of its own, closed after: what the kubelet or
//! Prometheus would have sent themselves. Before it on the path: `probe` or `metrics`; after it: the application.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{HOST, HeaderMap, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri, Version, uri};
use http_body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::body::{self, Body};
use crate::http1::{self, Remaining, Wire};
use crate::message::{self, Fields};
use crate::pool::Stream;

pub(crate) mod target;
mod tls;

pub(crate) use tls::Anyone;

/// Requests that are sent at most for one answer, redirects included; the same number in the kubelet and in Go.
const REQUESTS: usize = 10;

/// Sends requests; clones share its TLS settings.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    tls: Arc<ClientConfig>,
}

/// A response whose head is here. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    /// What moves the bytes of HTTP/2.
    _connection: Option<AbortOnDropHandle<()>>,
}

impl Default for Client {
    fn default() -> Self {
        Self { tls: tls::config() }
    }
}

impl Client {
    /// Gets what is at `uri`, which has a scheme and an authority. Redirects are followed by the kubelet's rules: only
    /// to the same host, on any port; one that leads elsewhere is the answer. A Host among the headers stays with the
    /// request until a redirect names the host itself.
    ///
    /// # Errors
    /// Where it failed: connecting, TLS, before the response, or in the tenth redirect. There is no time limit.
    pub(crate) async fn get(&self, mut uri: Uri, mut headers: HeaderMap) -> anyhow::Result<Answer> {
        for _ in 0..REQUESTS {
            let answer = self.once(&uri, &headers).await?;
            let Some(location) = location(&answer.response) else {
                return Ok(answer);
            };
            let next = target::resolve(&uri, location)
                .with_context(|| format!("GET {uri}: redirected to {location:?}"))?;
            if next.uri.host() != uri.host() {
                return Ok(answer);
            }
            if next.absolute {
                headers.remove(HOST);
            }
            uri = next.uri;
        }
        bail!("stopped after {REQUESTS} redirects")
    }

    async fn once(&self, uri: &Uri, headers: &HeaderMap) -> anyhow::Result<Answer> {
        let authority = uri.authority().context("no host to connect to")?;
        let host = authority.host().trim_matches(['[', ']']);
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => bail!("{uri}: only http and https are known"),
        };
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = TcpStream::connect((host, port))
            .await
            .with_context(|| format!("connect to {authority}"))?;
        stream.set_nodelay(true)?;
        if !secure {
            return http1(Stream::Plain(stream), uri, headers).await;
        }
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("host {host:?}"))?;
        let stream = TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await
            .with_context(|| format!("TLS with {authority}"))?;
        let http2_chosen = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
        let stream = Stream::Encrypted(Box::new(stream));
        if http2_chosen {
            http2(stream, uri, headers).await
        } else {
            http1(stream, uri, headers).await
        }
    }
}

async fn http1(stream: Stream, uri: &Uri, headers: &HeaderMap) -> anyhow::Result<Answer> {
    let mut fields = Fields::default();
    if !headers.contains_key(HOST) {
        fields.add_written("Host", authority(uri));
    }
    // Written as Go writes them.
    for (name, value) in headers {
        fields.add_written(&title_case(name.as_str()), value);
    }
    fields.add_written("Connection", "close");
    let path = uri.path_and_query().cloned();
    let request = message::Request {
        method: Method::GET,
        uri: path.map_or_else(Uri::default, Uri::from),
        version: Version::HTTP_11,
        scheme: None,
        headers: fields,
    };
    let mut wire = Wire::new(stream);
    let exchanged = http1::exchange(&mut wire, &request, Body::default(), None).await;
    let exchanged = exchanged.with_context(|| format!("GET {uri}"))?;
    let body = Body::wrapped(Answering {
        wire,
        remaining: exchanged.remaining,
    });
    let response = message::Response {
        body,
        ..exchanged.response
    };
    Ok(Answer {
        response: response.into(),
        _connection: None,
    })
}

/// The rest of an answer, on a connection of its own.
struct Answering {
    wire: Wire<Stream>,
    remaining: Remaining,
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        let Self { wire, remaining } = self.get_mut();
        let frame = remaining.poll_frame(&mut wire.stream, &mut wire.rest, context);
        frame.map_err(body::Error::from)
    }

    fn is_end_stream(&self) -> bool {
        self.remaining.is_over()
    }
}

/// `X-Name` for `x-name`.
fn title_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

async fn http2(stream: Stream, uri: &Uri, headers: &HeaderMap) -> anyhow::Result<Answer> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = drive(connection);
    let mut headers = headers.clone();
    let mut parts = uri.clone().into_parts();
    if let Some(host) = headers.remove(HOST) {
        let host = uri::Authority::try_from(host.as_bytes());
        parts.authority = Some(host.context("the Host header is no authority")?);
    }
    let mut request = Request::new(Body::default());
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.headers_mut() = headers;
    let response = sender.send_request(request).await;
    let response = response.with_context(|| format!("GET {uri}"))?;
    Ok(Answer {
        response: response.map(Body::from),
        _connection: Some(connection),
    })
}

/// Moves the bytes until the answer is dropped.
fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the application ended");
        }
    }))
}

/// Whether what answered a TLS handshake was not TLS, as a server of plain HTTP does.
pub(crate) fn not_tls(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref());
    causes.any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType))
        )
    })
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", uri::Authority::as_str)
}

/// Where a response redirects to. Without a Location it is an answer like any other, as in Go.
fn location(response: &Response<Body>) -> Option<&str> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION).filter(|_| redirects)?;
    // Bytes beyond ASCII are escaped later on; others are no text at all, and so no place.
    let location = str::from_utf8(location.as_bytes()).unwrap_or_default();
    Some(location).filter(|location| !location.is_empty())
}

#[cfg(test)]
mod tests {
    use super::title_case;

    #[test]
    fn names_as_go_writes_them() {
        for (name, written) in [
            ("accept", "Accept"),
            ("x-b3-traceid", "X-B3-Traceid"),
            ("a--b", "A--B"),
        ] {
            assert_eq!(title_case(name), written);
        }
    }
}
