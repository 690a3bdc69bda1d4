//! Headers that change from one connection to the next: hop-by-hop ones, which must not reach it (RFC 9110, section
//! 7.6.1), and what it needs of framing and authority.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{PathAndQuery, Scheme};
use http::{Uri, Version};

use super::X_REQUEST_ID;
use super::admission::X_FORWARDED_PROTO;
use crate::message::{Fields, Request, text};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What `Connection` may not take off, whoever names it: the next server needs it, or the proxy says it. It is for fields
/// between two neighbours only (RFC 9110, section 7.6.1).
static NOT_HOP_BY_HOP: [HeaderName; 4] = [HOST, CONTENT_LENGTH, X_REQUEST_ID, X_FORWARDED_PROTO];

/// Whether it is for two neighbours only. Most names are told by their length.
fn is_hop_by_hop(name: &[u8]) -> bool {
    let is = |one: &HeaderName| name.eq_ignore_ascii_case(one.as_str().as_bytes());
    match name.len() {
        2 => is(&TE),
        7 => is(&UPGRADE),
        10 => is(&CONNECTION) || is(&KEEP_ALIVE),
        16 => is(&PROXY_CONNECTION),
        17 => is(&TRANSFER_ENCODING),
        _ => false,
    }
}

/// Removes what is hop-by-hop, and what `Connection` names. `upgrade` keeps what a switch of protocols needs.
pub(crate) fn strip(headers: &mut Fields, upgrade: bool) {
    if !headers.iter().any(|(name, _)| is_hop_by_hop(name)) {
        return;
    }
    let named: Vec<HeaderName> = options(headers)
        .filter(|option| {
            !["close", "keep-alive"]
                .iter()
                .any(|word| option.eq_ignore_ascii_case(word))
        })
        .filter_map(|option| option.parse().ok())
        .filter(|name| !NOT_HOP_BY_HOP.contains(name))
        .collect();
    // `trailers` is all that may be asked for over HTTP/2 (RFC 9113, section 8.2.2), and gRPC does.
    let trailers = headers.all(&TE).filter_map(text).any(|value| {
        let mut options = value.split(',').map(str::trim);
        options.any(|option| option.eq_ignore_ascii_case("trailers"))
    });
    let is_named = |name: &[u8]| {
        let mut named = named.iter();
        named.any(|one| name.eq_ignore_ascii_case(one.as_str().as_bytes()))
    };
    headers.retain(|name, _| {
        upgrade && name.eq_ignore_ascii_case(b"upgrade") || !is_hop_by_hop(name) && !is_named(name)
    });
    if trailers {
        headers.set(&TE, "trailers");
    }
    if upgrade {
        headers.set(&CONNECTION, "upgrade");
    }
}

/// Gives an HTTP/2 request that only has a `Host`, as one that was HTTP/1 before may, its authority (RFC 9113,
/// section 8.3.1). False if there is neither.
pub(super) fn authority(request: &mut Request) -> bool {
    if request.version != Version::HTTP_2 || request.uri.authority().is_some() {
        return true;
    }
    let Some(host) = request.headers.get(HOST) else {
        return false;
    };
    let path = request.uri.path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(host)
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    uri.build().map(|uri| request.uri = uri).is_ok()
}

/// Writes the authority anew, where this version of HTTP has it. One that a target cannot be made of changes nothing.
pub(super) fn set_authority(request: &mut Request, authority: &HeaderValue) {
    if request.version != Version::HTTP_2 {
        request.headers.set(&HOST, authority);
        return;
    }
    let path = request.uri.path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(request.uri.scheme().cloned().unwrap_or(Scheme::HTTP))
        .authority(authority.as_bytes())
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    match uri.build() {
        Ok(uri) => request.uri = uri,
        Err(error) => tracing::warn!(?authority, %error, "not an authority; the request's stays"),
    }
}

/// Writes the path and the query anew.
pub(super) fn set_path(request: &mut Request, path: PathAndQuery) {
    let mut uri = std::mem::take(&mut request.uri).into_parts();
    uri.path_and_query = Some(path);
    // Parts that have been a target, with another path, are one again.
    request.uri = Uri::from_parts(uri).unwrap_or_default();
}

/// The options that `Connection` lists, as written.
pub(super) fn options(headers: &Fields) -> impl Iterator<Item = &str> {
    let values = headers.all(&CONNECTION).filter_map(text);
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left() {
        for (before, upgrade, after) in [
            (
                vec![("connection", "close"), ("accept", "*/*")],
                false,
                vec!["accept: */*"],
            ),
            (
                vec![
                    ("connection", "keep-alive, X-Hop"),
                    ("x-hop", "1"),
                    ("x-end", "2"),
                ],
                false,
                vec!["x-end: 2"],
            ),
            (
                vec![("te", "gzip, Trailers"), ("keep-alive", "timeout=5")],
                false,
                vec!["te: trailers"],
            ),
            (vec![("te", "gzip")], false, vec![]),
            (
                vec![
                    ("connection", "host, content-length"),
                    ("host", "a"),
                    ("content-length", "1"),
                ],
                false,
                vec!["content-length: 1", "host: a"],
            ),
            (
                vec![("transfer-encoding", "chunked"), ("proxy-connection", "close")],
                false,
                vec![],
            ),
            (
                vec![("connection", "Upgrade"), ("upgrade", "websocket")],
                true,
                vec!["connection: upgrade", "upgrade: websocket"],
            ),
            (vec![("connection", "Upgrade"), ("upgrade", "h2c")], false, vec![]),
        ] {
            let mut headers = Fields::default();
            for (name, value) in &before {
                headers.add(&HeaderName::from_static(name), value);
            }
            strip(&mut headers, upgrade);
            let mut left: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{}: {}", text(name).unwrap(), text(value).unwrap()))
                .collect();
            left.sort();
            assert_eq!(left, after, "{before:?}");
        }
    }
}
