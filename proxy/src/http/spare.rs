//! What it takes to send a request once more. Belongs to `tries`.

use http::{Extensions, HeaderMap, Method, Request, Uri, Version};
use http_body::Body as _;

use crate::body::{Body, Kept};

/// A request's head, and its body if there is one.
#[derive(Debug, Clone)]
pub(super) struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    /// How the headers were written.
    extensions: Extensions,
    kept: Option<Kept>,
}

impl Spare {
    /// `None` for a request with a body that is not kept.
    pub(super) fn new(request: &Request<Body>, kept: Option<&Kept>) -> Option<Self> {
        if kept.is_none() && !request.body().is_end_stream() {
            return None;
        }
        Some(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
            extensions: request.extensions().clone(),
            kept: kept.cloned(),
        })
    }

    /// Whether it may be sent twice without being asked: doing it twice is the same as doing it once (RFC 9110, section
    /// 9.2.2), and there is no body that somebody may have begun to read.
    pub(super) fn is_repeatable(&self) -> bool {
        self.method.is_idempotent() && self.kept.is_none()
    }

    /// Whether there still is all of it.
    pub(super) fn is_whole(&self) -> bool {
        self.kept.as_ref().is_none_or(Kept::is_whole)
    }

    /// The request; `None` if its body was longer than what is kept.
    pub(super) fn request(self) -> Option<Request<Body>> {
        let body = match self.kept {
            Some(kept) => kept.again()?,
            None => Body::default(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        *request.extensions_mut() = self.extensions;
        Some(request)
    }
}
