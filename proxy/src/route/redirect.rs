//! Where a route sends the client instead of its request. Used by `http::forward`.

use http::StatusCode;

use super::matcher::{authority, scheme};
use super::rewrite::covered;
use super::{Invalid, Match};
use crate::message::Request;
use crate::protocol::mesh::{self, DerivePort};

/// What is different in the new location; the rest is the request's.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    uri: String,
    covers_prefix: bool,
    authority: String,
    scheme: String,
    port: Option<u16>,
}

impl Redirect {
    /// `service_port` is the port that requests come to.
    pub(super) fn new(published: mesh::Redirect, service_port: u16) -> Result<Self, Invalid> {
        let status = match published.code {
            0 => StatusCode::MOVED_PERMANENTLY,
            code => Invalid::status(code)?,
        };
        let port = match (published.port, published.derive_port()) {
            (0, DerivePort::FromRequestPort) => Some(service_port),
            (0, DerivePort::FromProtocolDefault) => None,
            (port, _) => Some(u16::try_from(port).map_err(|_| Invalid::Port(port))?),
        };
        Ok(Self {
            status,
            uri: published.uri,
            covers_prefix: published.replaces_prefix,
            authority: published.authority,
            scheme: published.scheme,
            port,
        })
    }

    /// The new location, in absolute form as Envoy gives it. A query stays, unless the rule has its own.
    pub(crate) fn location(&self, request: &Request, by: Option<&Match>) -> String {
        let asked = scheme(request);
        let scheme = match self.scheme.as_str() {
            "" => asked,
            other => other,
        };
        let written = String::from_utf8_lossy(authority(request));
        let (host, port) = split(if self.authority.is_empty() {
            &written
        } else {
            &self.authority
        });
        let port = match self.port {
            Some(port) => format!(":{port}"),
            // The old scheme's own port means nothing in another one.
            None if scheme != asked && matches!((asked, port), ("http", ":80") | ("https", ":443")) => {
                String::new()
            }
            None => port.to_owned(),
        };
        let path = match self.uri.as_str() {
            "" => request.uri.path().to_owned(),
            uri if self.covers_prefix => covered(request.uri.path(), by, uri),
            uri => uri.to_owned(),
        };
        let query = match request.uri.query() {
            Some(query) if !path.contains('?') => format!("?{query}"),
            _ => String::new(),
        };
        format!("{scheme}://{host}{port}{path}{query}")
    }
}

/// A host and its port with the colon, which may be missing; an IPv6 address has colons of its own.
fn split(authority: &str) -> (&str, &str) {
    match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => authority.split_at(at),
        _ => (authority, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh::string_match::Kind;

    #[test]
    fn locations() {
        let redirect = mesh::Redirect::default;
        let https = || mesh::Redirect {
            scheme: "https".into(),
            ..redirect()
        };
        let uri = |uri: &str| mesh::Redirect {
            uri: uri.into(),
            ..redirect()
        };
        let authority = |authority: &str| mesh::Redirect {
            authority: authority.into(),
            ..redirect()
        };
        let port = |port| mesh::Redirect { port, ..redirect() };
        let derived = mesh::Redirect {
            derive_port: DerivePort::FromRequestPort.into(),
            ..redirect()
        };
        let prefix = mesh::Redirect {
            uri: "/b".into(),
            replaces_prefix: true,
            ..redirect()
        };
        for (published, host, expected) in [
            (uri("/new"), "a:5000", "http://a:5000/new?q=1"),
            (uri("/new?own=1"), "a", "http://a/new?own=1"),
            (authority("b.com"), "a:5000", "http://b.com/api/x?q=1"),
            (authority("b.com:81"), "a:5000", "http://b.com:81/api/x?q=1"),
            (https(), "a:80", "https://a/api/x?q=1"),
            (https(), "a:8080", "https://a:8080/api/x?q=1"),
            (https(), "[::1]:80", "https://[::1]/api/x?q=1"),
            (https(), "[::1]", "https://[::1]/api/x?q=1"),
            (port(8443), "a:80", "http://a:8443/api/x?q=1"),
            (derived, "a", "http://a:5000/api/x?q=1"),
            (prefix, "a", "http://a/b/x?q=1"),
        ] {
            let request = http::Request::get("/api/x?q=1").header("host", host);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let kind = Some(Kind::Prefix("/api".into()));
            let by = Match::new(mesh::HttpMatch {
                uri: Some(mesh::StringMatch { kind }),
                ..Default::default()
            });
            let redirect = Redirect::new(published.clone(), 5000).unwrap();
            let location = redirect.location(&parts.into(), by.as_ref().ok());
            assert_eq!(location, expected, "{published:?} {host}");
        }
    }
}
