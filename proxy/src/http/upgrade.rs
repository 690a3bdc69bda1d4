//! Requests that turn their connection into something else, such as WebSocket (RFC 9110, section 7.8) or a tunnel
//! (CONNECT, section 9.3.6): once the application has agreed, bytes are carried and no longer read.

use http::header::UPGRADE;
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::headers;
use crate::body::Body;
use crate::drain::Drain;
use crate::tcp;

/// What a client asks its connection to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Protocol,
    Tunnel,
}

/// What the client asks for. A switch to HTTP/2 is not carried, nor a choice that has it (clients go on with HTTP/1.1, as
/// the RFC has them do): the bytes after it would be requests that no rule has seen.
pub(super) fn wanted(request: &Parts) -> Option<Wanted> {
    if request.method == Method::CONNECT {
        return Some(Wanted::Tunnel);
    }
    let mut protocols = request
        .headers
        .get_all(UPGRADE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .peekable();
    let asked = request.version == Version::HTTP_11
        && protocols.peek().is_some()
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

/// Carries bytes between the two once both have switched; the drain waits for it as for any connection.
pub(super) fn join(client: OnUpgrade, response: &mut Response<Body>, drain: &Drain) {
    let upstream = hyper::upgrade::on(response);
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
