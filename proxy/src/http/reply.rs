//! Answers of our own: a status and a line that says why, to gRPC clients in their own terms.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use crate::body::Body;

/// On an answer of ours that nothing of the request has reached the application: the client's proxy takes it off, and
/// sends the request elsewhere if it can.
pub(crate) const NOT_DELIVERED: HeaderName = HeaderName::from_static("x-outrigger-not-delivered");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How to refuse one request.
pub(super) struct Refuse {
    grpc: bool,
    request: String,
}

impl Refuse {
    pub(super) fn new(request: &Parts) -> Self {
        let kind = request
            .headers
            .get(CONTENT_TYPE)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        Self {
            grpc: kind.starts_with(b"application/grpc"),
            request: format!("{} {}", request.method, request.uri),
        }
    }

    /// The answer. gRPC clients look at `grpc-status` alone, in a response of status 200 without a body; the codes
    /// are those that gRPC's own table gives for HTTP statuses.
    pub(super) fn with(&self, status: StatusCode, why: &str) -> Response<Body> {
        tracing::info!(request = ?self.request, status = status.as_u16(), why, "refused");
        if !self.grpc {
            let mut response = Response::new(Body::text(format!("outrigger: {why}\n")));
            *response.status_mut() = status;
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            return response;
        }
        let code = match status {
            StatusCode::NOT_FOUND => "12",
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "14",
            _ => "2",
        };
        let message: String = why.bytes().map(escape).collect();
        let mut response = Response::new(Body::default());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from_static(code));
        if let Ok(message) = HeaderValue::from_str(&message) {
            headers.insert(GRPC_MESSAGE, message);
        }
        response
    }
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

    fn refused(content_type: &str) -> Response<Body> {
        let request = http::Request::post("/a")
            .header(CONTENT_TYPE, content_type)
            .body(())
            .unwrap();
        Refuse::new(&request.into_parts().0).with(StatusCode::SERVICE_UNAVAILABLE, "subset ü is not there")
    }

    #[test]
    fn http_gets_a_status_and_grpc_a_code() {
        assert_eq!(
            refused("application/json").status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        let grpc = refused("application/grpc+proto");
        assert_eq!(grpc.status(), StatusCode::OK);
        assert_eq!(grpc.headers()["grpc-status"], "14");
        assert_eq!(grpc.headers()["grpc-message"], "subset %C3%BC is not there");
    }
}
