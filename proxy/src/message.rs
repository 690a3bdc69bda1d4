//! Requests and responses as everything between the two connections sees them, whatever version of HTTP they came in.
//! Read and written by `http1` and, for HTTP/2, by way of the `http` crate's types.

use bytes::Bytes;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::body::Body;

mod fields;

pub use fields::Fields;
pub(crate) use fields::text;

/// The head of a request. Its body goes beside it, since it is sent once, and the head perhaps several times.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// The target, in the form that it came in until `admission` has seen it.
    pub uri: Uri,
    /// The version that it came in, which is also the one that it is sent on in.
    pub version: Version,
    /// The scheme that the target of HTTP/1's absolute form had.
    pub scheme: Option<Scheme>,
    /// The header section.
    pub headers: Fields,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// What came of it.
    pub status: StatusCode,
    /// What HTTP/1 says behind the status, where that is not the usual.
    pub reason: Option<Bytes>,
    /// The header section.
    pub headers: Fields,
    /// What follows.
    pub body: Body,
}

impl Response {
    /// 200 without headers.
    pub fn new(body: Body) -> Self {
        Self {
            status: StatusCode::OK,
            reason: None,
            headers: Fields::default(),
            body,
        }
    }

    /// The same with another status.
    pub fn of(status: StatusCode, body: Body) -> Self {
        Self {
            status,
            ..Self::new(body)
        }
    }
}

impl From<Parts> for Request {
    fn from(parts: Parts) -> Self {
        Self {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            scheme: None,
            headers: Fields::from(&parts.headers),
        }
    }
}

impl Request {
    /// The same for a library, with its body.
    pub(crate) fn to_http(&self, body: Body) -> http::Request<Body> {
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = HeaderMap::from(&self.headers);
        request
    }
}

impl From<http::Response<Body>> for Response {
    fn from(response: http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            reason: None,
            headers: Fields::from(&parts.headers),
            body,
        }
    }
}

impl From<Response> for http::Response<Body> {
    fn from(response: Response) -> Self {
        let mut converted = Self::new(response.body);
        *converted.status_mut() = response.status;
        *converted.headers_mut() = HeaderMap::from(&response.headers);
        converted
    }
}
