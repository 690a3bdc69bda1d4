//! Requests that turn their connection into something else, such as WebSocket (RFC 9110, section 7.8) or a tunnel
//! (CONNECT, section 9.3.6): once the application has agreed, bytes are carried and no longer read.

use http::header::UPGRADE;
use http::{Method, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::headers;
use crate::body::Tunnel;
use crate::detect::Prefixed;
use crate::drain::Drain;
use crate::http1;
use crate::message::Request;
use crate::tcp;

/// What a client asks its connection to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Protocol,
    Tunnel,
}

/// What the client asks for. A switch to HTTP/2 is not carried, nor a choice that has it (clients go on with HTTP/1.1, as
/// the RFC has them do): the bytes after it would be requests that no rule has seen.
pub(super) fn wanted(request: &Request) -> Option<Wanted> {
    if request.method == Method::CONNECT {
        return Some(Wanted::Tunnel);
    }
    if request.version != Version::HTTP_11 {
        return None;
    }
    let values = request.headers.all(&UPGRADE);
    let mut protocols = values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .peekable();
    let asked = protocols.peek().is_some()
        && !protocols.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
        && headers::options(&request.headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    asked.then_some(Wanted::Protocol)
}

impl Wanted {
    /// Whether the application agrees.
    pub(super) fn is_granted(self, status: StatusCode) -> bool {
        match self {
            Self::Protocol => status == StatusCode::SWITCHING_PROTOCOLS,
            Self::Tunnel => status.is_success(),
        }
    }
}

/// Carries bytes between the two of HTTP/1.
pub(super) async fn carry(client: http1::Client, upstream: Tunnel) {
    let Tunnel::Http1(mut lease) = upstream else {
        return;
    };
    let (Some(client), Some(wire)) = (client.into_stream(), lease.wire()) else {
        return tracing::debug!("not upgraded: the request's body is still read");
    };
    let upstream = Prefixed::new(std::mem::take(&mut wire.rest), &mut wire.stream);
    if let Err(error) = tcp::copy(client, upstream).await {
        tracing::debug!(%error, "upgraded connection ended");
    }
}

/// Carries bytes between two streams of HTTP/2 once both have switched; the drain waits for it as for any connection.
pub(super) fn join(client: OnUpgrade, upstream: OnUpgrade, drain: &Drain) {
    drain.spawn(async move {
        let joined = match tokio::try_join!(client, upstream) {
            Ok((client, upstream)) => tcp::copy(TokioIo::new(client), TokioIo::new(upstream))
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = joined {
            tracing::debug!(error, "upgraded connection ended");
        }
    });
}
