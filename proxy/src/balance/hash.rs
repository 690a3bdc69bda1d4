//! The key by which a request keeps its endpoint: a header, a cookie, the client's address or a query parameter.
//! Before it: `http`, once a request; after it: `pick`, with a ring or a Maglev table.

use std::net::IpAddr;

use http::Uri;
use http::header::{COOKIE, HeaderName, HeaderValue};

use crate::message::{self, Fields};
use crate::protocol::mesh;
use crate::protocol::mesh::consistent_hash::By;

/// What a request is hashed by.
#[derive(Debug)]
pub(super) enum HashBy {
    Header(HeaderName),
    Cookie {
        name: String,
        path: String,
        /// Seconds; 0 for a session cookie. Without it no client is given one.
        ttl: Option<u32>,
    },
    SourceIp,
    QueryParam(String),
}

/// The key of one request, the same for each of its tries.
#[derive(Debug, Default, Clone)]
pub struct Hashed {
    /// Without one, any endpoint will do.
    pub key: Option<u64>,
    /// A `Set-Cookie` for the response, since the client had no cookie yet.
    pub cookie: Option<HeaderValue>,
}

impl HashBy {
    /// `None` if nothing is hashed by.
    pub(super) fn new(published: &mesh::ConsistentHash) -> Option<Self> {
        Some(match published.by.clone()? {
            By::Header(name) => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => Self::Header(name),
                Err(error) => {
                    tracing::warn!(name, %error, "not the name of a header: requests are not hashed by it");
                    return None;
                }
            },
            By::Cookie(cookie) => Self::Cookie {
                name: cookie.name,
                path: cookie.path,
                ttl: cookie.ttl_seconds,
            },
            By::SourceIp(on) => return on.then_some(Self::SourceIp),
            By::QueryParam(name) => Self::QueryParam(name),
        })
    }

    /// The key of a request from `source`; `new` is any random number, for a cookie.
    pub(super) fn of(
        &self,
        uri: &Uri,
        headers: &Fields,
        source: IpAddr,
        new: impl FnOnce() -> u64,
    ) -> Hashed {
        let key = |bytes: &[u8]| Hashed {
            key: Some(hash(bytes, 0)),
            cookie: None,
        };
        match self {
            Self::Header(name) => {
                let mut values = headers.all(name).peekable();
                if values.peek().is_none() {
                    return Hashed::default();
                }
                let all = values.fold(0, |seed, value| hash(value, seed));
                Hashed {
                    key: Some(all),
                    cookie: None,
                }
            }
            Self::Cookie { name, path, ttl } => match cookie(headers, name) {
                Some(value) => key(value.as_bytes()),
                None => match ttl {
                    Some(ttl) => {
                        let value = format!("{:016x}", new());
                        Hashed {
                            cookie: set_cookie(name, &value, path, *ttl),
                            ..key(value.as_bytes())
                        }
                    }
                    None => Hashed::default(),
                },
            },
            Self::SourceIp => by_address(source),
            Self::QueryParam(name) => {
                let query = uri.query().unwrap_or_default();
                let mut pairs = query
                    .split('&')
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                let found = pairs.find(|(candidate, _)| candidate == name);
                found.map_or_else(Hashed::default, |(_, value)| key(value.as_bytes()))
            }
        }
    }

    /// The key of a connection of opaque bytes, of which only the address is known.
    pub(super) fn of_connection(&self, source: IpAddr) -> Hashed {
        match self {
            Self::SourceIp => by_address(source),
            _ => Hashed::default(),
        }
    }
}

fn by_address(source: IpAddr) -> Hashed {
    let key = match source {
        IpAddr::V4(source) => hash(&source.octets(), 0),
        IpAddr::V6(source) => hash(&source.octets(), 0),
    };
    Hashed {
        key: Some(key),
        cookie: None,
    }
}

fn cookie<'a>(headers: &'a Fields, name: &str) -> Option<&'a str> {
    let all = headers.all(&COOKIE);
    let mut pairs = all
        .filter_map(message::text)
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(candidate, _)| *candidate == name)
        .map(|(_, value)| value.trim_matches('"'))
}

fn set_cookie(name: &str, value: &str, path: &str, ttl: u32) -> Option<HeaderValue> {
    let mut text = format!("{name}=\"{value}\"");
    if ttl > 0 {
        text.push_str(&format!("; Max-Age={ttl}"));
    }
    if !path.is_empty() {
        text.push_str(&format!("; Path={path}"));
    }
    text.push_str("; HttpOnly");
    HeaderValue::from_str(&text).ok()
}

/// FNV-1a with the finalizer of MurmurHash3. It is the same in every proxy and every version, so that all of them
/// lead a key to the same endpoint; it decides nothing secret.
pub(super) fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh::consistent_hash::Cookie;

    fn by(by: By) -> HashBy {
        HashBy::new(&mesh::ConsistentHash {
            by: Some(by),
            table: None,
        })
        .unwrap()
    }

    fn hashed(by: &HashBy, path: &str, headers: &[(&str, &str)]) -> Hashed {
        let mut request = http::Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let headers = Fields::from(&parts.headers);
        by.of(&parts.uri, &headers, [10, 0, 0, 1].into(), || 0xabc)
    }

    #[test]
    fn keys() {
        let cookie = |ttl| {
            by(By::Cookie(Cookie {
                name: "user".into(),
                path: "/".into(),
                ttl_seconds: ttl,
            }))
        };
        let x = Some(hash(b"x", 0));
        for (by, path, headers, key, set_cookie) in [
            (
                by(By::Header("X-User".into())),
                "/",
                &[("x-user", "x")][..],
                x,
                None,
            ),
            (by(By::Header("X-User".into())), "/", &[], None, None),
            (cookie(Some(60)), "/", &[("cookie", "a=b; user=x")], x, None),
            (cookie(Some(60)), "/", &[("cookie", "user=\"x\"")], x, None),
            (
                cookie(Some(60)),
                "/",
                &[("cookie", "superuser=x")],
                Some(hash(b"0000000000000abc", 0)),
                Some("user=\"0000000000000abc\"; Max-Age=60; Path=/; HttpOnly"),
            ),
            (
                cookie(Some(0)),
                "/",
                &[],
                Some(hash(b"0000000000000abc", 0)),
                Some("user=\"0000000000000abc\"; Path=/; HttpOnly"),
            ),
            (cookie(None), "/", &[], None, None),
            (
                by(By::SourceIp(true)),
                "/",
                &[],
                Some(hash(&[10, 0, 0, 1], 0)),
                None,
            ),
            (by(By::QueryParam("q".into())), "/?qq=y&q=x&q=z", &[], x, None),
            (by(By::QueryParam("q".into())), "/?qq=y", &[], None, None),
            (
                by(By::QueryParam("q".into())),
                "/?q",
                &[],
                Some(hash(b"", 0)),
                None,
            ),
        ] {
            let seen = hashed(&by, path, headers);
            assert_eq!(seen.key, key, "{by:?} {path} {headers:?}");
            let seen = seen.cookie.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(seen, set_cookie, "{by:?} {path} {headers:?}");
        }
    }

    #[test]
    fn every_value_of_a_header_counts() {
        let by = by(By::Header("a".into()));
        let one = hashed(&by, "/", &[("a", "x")]);
        let two = hashed(&by, "/", &[("a", "x"), ("a", "y")]);
        assert_ne!(one.key, two.key);
    }

    #[test]
    fn what_cannot_be_hashed_by_is_not() {
        for published in [By::Header("a b".into()), By::SourceIp(false)] {
            let published = mesh::ConsistentHash {
                by: Some(published),
                table: None,
            };
            assert!(HashBy::new(&published).is_none(), "{published:?}");
        }
    }
}
