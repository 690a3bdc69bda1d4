//! Answers of our own: a status and a line that says why, to gRPC clients in their own terms.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};

use crate::body::Body;
use crate::message::{Fields, Request, Response};

/// On an answer of ours that nothing of the request has reached the application: the client's proxy takes it off, and
/// sends the request elsewhere if it can.
pub(crate) const NOT_DELIVERED: HeaderName = HeaderName::from_static("x-outrigger-not-delivered");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How to refuse one request.
#[derive(Clone, Copy)]
pub(super) struct Refuse {
    grpc: bool,
}

impl Refuse {
    pub(super) fn new(request: &Request) -> Self {
        Self {
            grpc: is_grpc(&request.headers),
        }
    }

    /// Whether the client speaks gRPC.
    pub(super) fn is_grpc(self) -> bool {
        self.grpc
    }

    /// The answer. gRPC clients look at `grpc-status` alone, in a response of status 200 without a body; the codes
    /// are those that gRPC's own table gives for HTTP statuses.
    pub(super) fn with(self, request: &Request, status: StatusCode, why: &str) -> Response {
        let (method, target) = (&request.method, &request.uri);
        tracing::info!(%method, ?target, status = status.as_u16(), why, "refused");
        if self.grpc {
            self.grpc(grpc_code(status), why)
        } else {
            text(status, format!("outrigger: {why}\n"))
        }
    }

    /// The same in Envoy's own words, which users know and look for, and which need no name before them.
    pub(super) fn in_words(self, request: &Request, status: StatusCode, words: &'static str) -> Response {
        let (method, target) = (&request.method, &request.uri);
        tracing::debug!(%method, ?target, status = status.as_u16(), words, "answered");
        if self.grpc {
            self.grpc(grpc_code(status), words)
        } else {
            text(status, words.to_owned())
        }
    }

    /// The same with a status of gRPC's; to others it is the HTTP status that Envoy gives for it.
    pub(super) fn with_grpc(self, code: u32, words: &'static str) -> Response {
        if self.grpc {
            return self.grpc(code, words);
        }
        let status = match code {
            0 => StatusCode::OK,
            3 | 9 | 11 => StatusCode::BAD_REQUEST,
            1 => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            4 => StatusCode::GATEWAY_TIMEOUT,
            5 => StatusCode::NOT_FOUND,
            6 | 10 => StatusCode::CONFLICT,
            7 => StatusCode::FORBIDDEN,
            8 => StatusCode::TOO_MANY_REQUESTS,
            12 => StatusCode::NOT_IMPLEMENTED,
            14 => StatusCode::SERVICE_UNAVAILABLE,
            16 => StatusCode::UNAUTHORIZED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        text(status, words.to_owned())
    }

    fn grpc(self, code: u32, why: &str) -> Response {
        let message: String = why.bytes().map(escape).collect();
        let mut response = Response::new(Body::default());
        response.headers.set(&CONTENT_TYPE, "application/grpc");
        response.headers.set(&GRPC_STATUS, code.to_string());
        response.headers.set(&GRPC_MESSAGE, &message);
        response
    }
}

/// To a head that could not be read.
pub(super) fn unread(status: StatusCode, why: &impl std::fmt::Display) -> Response {
    text(status, format!("outrigger: {why}\n"))
}

/// Whether the client speaks gRPC.
fn is_grpc(headers: &Fields) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    let rest = kind.unwrap_or_default().strip_prefix(b"application/grpc");
    // gRPC-Web has statuses of its own in its bodies.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn grpc_code(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

fn text(status: StatusCode, text: String) -> Response {
    let mut response = Response::of(status, Body::text(text));
    response.headers.set(&CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

/// gRPC over HTTP/2, "Responses": the message is percent-encoded.
fn escape(byte: u8) -> String {
    match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(content_type: &str) -> Response {
        let request = http::Request::post("/a")
            .header(CONTENT_TYPE, content_type)
            .body(())
            .unwrap();
        let request = request.into_parts().0.into();
        Refuse::new(&request).with(&request, StatusCode::SERVICE_UNAVAILABLE, "subset ü is not there")
    }

    #[test]
    fn http_gets_a_status_and_grpc_a_code() {
        assert_eq!(
            refused("application/json").status,
            StatusCode::SERVICE_UNAVAILABLE
        );
        let grpc = refused("application/grpc+proto");
        assert_eq!(grpc.status, StatusCode::OK);
        assert_eq!(grpc.headers.text(GRPC_STATUS), Some("14"));
        assert_eq!(
            grpc.headers.text(GRPC_MESSAGE),
            Some("subset %C3%BC is not there")
        );
    }
}
