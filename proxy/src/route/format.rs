//! A header's value as rules write it: text, and Envoy's variables between percent signs. Belongs to `operations`.

use std::net::SocketAddr;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue, StatusCode, Version};

use crate::message::Fields;

/// What variables stand for; see [`Value`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The client.
    pub(crate) peer: SocketAddr,
    /// Where it dialled.
    pub(crate) destination: SocketAddr,
    pub(crate) version: Version,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) authority: &'a [u8],
    /// Of a response.
    pub(crate) status: Option<StatusCode>,
}

/// A value, of which the variables are filled in for each message.
#[derive(Debug)]
pub(super) enum Value {
    Plain(HeaderValue),
    Formatted(Vec<Piece>),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Peer,
    PeerIp,
    Destination,
    DestinationIp,
    DestinationPort,
    Protocol,
    Status,
    StartTime,
    Method,
    Path,
    Authority,
    /// A header of the message that the operation is for, and how much of it.
    Header(HeaderName, Option<usize>),
}

/// The variables of a header's value that are not known: they are sent as they are written.
pub fn unknown_variables(text: &str) -> Vec<&str> {
    let between = text.split('%').skip(1).step_by(2);
    between
        .filter(|name| !name.is_empty() && Piece::variable(name).is_none())
        .collect()
}

impl Value {
    /// `None` if it is not the value of a header. A variable that is not known stays as it is written, and is logged:
    /// the control plane refuses what is wrong, and a proxy that is older than the rule had better do the rest of it.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            let Some((name, after)) = after.split_once('%') else {
                plain.push('%');
                rest = after;
                break;
            };
            rest = after;
            match Piece::variable(name) {
                _ if name.is_empty() => plain.push('%'),
                Some(piece) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(piece);
                }
                None => {
                    tracing::warn!(
                        name,
                        "not a variable that this version knows; it is sent as written"
                    );
                    plain.push_str(&format!("%{name}%"));
                }
            }
        }
        plain.push_str(rest);
        // Every text is checked, so that a bad one is told once and not in every request.
        let whole = HeaderValue::from_str(&plain).ok()?;
        if pieces.is_empty() {
            return Some(Self::Plain(whole));
        }
        let checked = pieces.iter().all(|piece| match piece {
            Piece::Text(text) => HeaderValue::from_str(text).is_ok(),
            _ => true,
        });
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        checked.then_some(Self::Formatted(pieces))
    }

    /// The value for a message, or `None` if there is nothing to say.
    pub(super) fn of(&self, headers: &Fields, facts: &Facts<'_>) -> Option<HeaderValue> {
        let pieces = match self {
            Self::Plain(value) => return Some(value.clone()),
            Self::Formatted(pieces) => pieces,
        };
        let mut bytes = Vec::new();
        for piece in pieces {
            piece.write(headers, facts, &mut bytes);
        }
        (!bytes.is_empty())
            .then(|| HeaderValue::from_bytes(&bytes).ok())
            .flatten()
    }
}

impl Piece {
    /// <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#custom-request-response-headers>
    fn variable(name: &str) -> Option<Self> {
        Some(match name {
            "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Self::Peer,
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => {
                Self::PeerIp
            }
            "DOWNSTREAM_LOCAL_ADDRESS" => Self::Destination,
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Self::DestinationIp,
            "DOWNSTREAM_LOCAL_PORT" => Self::DestinationPort,
            "PROTOCOL" => Self::Protocol,
            "RESPONSE_CODE" => Self::Status,
            "START_TIME" => Self::StartTime,
            _ => return Self::header(name),
        })
    }

    /// `REQ(name)` or `RESP(name)`, with `:length` behind it or not.
    fn header(variable: &str) -> Option<Self> {
        let (name, length) = variable.split_once(')')?;
        let name = name.strip_prefix("REQ(").or(name.strip_prefix("RESP("))?;
        let length = match length.strip_prefix(':') {
            Some(length) => Some(length.parse().ok()?),
            None if length.is_empty() => None,
            None => return None,
        };
        Some(match name.to_ascii_lowercase().as_str() {
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":authority" | "host" => Self::Authority,
            name => Self::Header(name.parse().ok()?, length),
        })
    }

    fn write(&self, headers: &Fields, facts: &Facts<'_>, to: &mut Vec<u8>) {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Peer => facts.peer.to_string(),
            Self::PeerIp => facts.peer.ip().to_string(),
            Self::Destination => facts.destination.to_string(),
            Self::DestinationIp => facts.destination.ip().to_string(),
            Self::DestinationPort => facts.destination.port().to_string(),
            Self::Protocol => format!("{:?}", facts.version),
            Self::Status => facts
                .status
                .map(|status| status.as_u16().to_string())
                .unwrap_or_default(),
            Self::StartTime => prost_types::Timestamp::from(SystemTime::now()).to_string(),
            Self::Method => facts.method.to_owned(),
            Self::Path => facts.path.to_owned(),
            Self::Authority => return to.extend_from_slice(facts.authority),
            Self::Header(name, length) => {
                let value = headers.get(name).unwrap_or_default();
                return to.extend(value.iter().take(length.unwrap_or(usize::MAX)));
            }
        };
        to.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let facts = Facts {
            peer: "10.0.0.1:4000".parse().unwrap(),
            destination: "10.96.0.7:80".parse().unwrap(),
            version: Version::HTTP_11,
            method: "GET",
            path: "/a?b",
            authority: b"a:80",
            status: Some(StatusCode::NOT_FOUND),
        };
        let headers = Fields::from_iter([(&HeaderName::from_static("x-a"), "abc")]);
        for (text, expected) in [
            ("plain", Some("plain")),
            ("", Some("")),
            ("100%%", Some("100%")),
            ("%%PROTOCOL%%", Some("%PROTOCOL%")),
            ("100%", Some("100%")),
            ("%PROTOCOL%", Some("HTTP/1.1")),
            ("from %DOWNSTREAM_REMOTE_ADDRESS%.", Some("from 10.0.0.1:4000.")),
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", Some("10.0.0.1")),
            ("%DOWNSTREAM_LOCAL_PORT%", Some("80")),
            (
                "%REQ(:METHOD)% %REQ(:path)% %REQ(:AUTHORITY)%",
                Some("GET /a?b a:80"),
            ),
            ("%REQ(X-A)%%REQ(x-a):2%", Some("abcab")),
            ("%RESP(x-none)%", None),
            ("%RESPONSE_CODE%", Some("404")),
            ("%NONSENSE% %REQ(a b)%", Some("%NONSENSE% %REQ(a b)%")),
        ] {
            let value = Value::new(text).unwrap().of(&headers, &facts);
            assert_eq!(
                value.as_ref().map(|value| value.to_str().unwrap()),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            unknown_variables("100%% %PROTOCOL% %HOSTNAME% %%X%%"),
            ["HOSTNAME"]
        );
        for text in ["a\nb", "a\n%PROTOCOL%"] {
            assert!(Value::new(text).is_none(), "{text:?}");
        }
    }
}
