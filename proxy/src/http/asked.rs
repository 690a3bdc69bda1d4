//! What a request was when it came, for header operations on it and on its response. Belongs to `onward`.

use std::net::SocketAddr;

use http::header::HOST;
use http::{Method, StatusCode, Uri, Version};

use super::Downstream;
use crate::message::{Request, Response};
use crate::route::{Facts, HeaderOperations, authority_of};

/// A request's line and authority, and the connection that it came on.
pub(super) struct Asked {
    peer: SocketAddr,
    destination: SocketAddr,
    version: Version,
    method: Method,
    target: Uri,
    /// Where the target has no authority.
    host: Option<Vec<u8>>,
}

impl Asked {
    pub(super) fn new(request: &Request, downstream: &Downstream) -> Self {
        Self {
            peer: downstream.peer,
            destination: downstream.destination,
            version: request.version,
            method: request.method.clone(),
            target: request.uri.clone(),
            host: request.headers.get(HOST).map(<[u8]>::to_vec),
        }
    }

    /// With the status of its response, if there is one.
    pub(super) fn facts(&self, status: Option<StatusCode>) -> Facts<'_> {
        Facts {
            peer: self.peer,
            destination: self.destination,
            version: self.version,
            method: self.method.as_str(),
            path: self.target.path_and_query().map_or("", |path| path.as_str()),
            authority: authority_of(&self.target, self.host.as_deref()),
            status,
        }
    }

    /// Carries out operations on its response.
    pub(super) fn apply(&self, operations: &HeaderOperations, response: &mut Response) {
        if operations.is_empty() {
            return;
        }
        let facts = self.facts(Some(response.status));
        operations.apply(&mut response.headers, &facts);
    }
}
