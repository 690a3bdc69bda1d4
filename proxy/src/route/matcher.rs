//! One match of a route, with its regular expressions compiled, and whether it holds for a request.

use http::HeaderName;
use http::request::Parts;
use regex::bytes::{Regex, RegexBuilder};

use crate::protocol::mesh;
use crate::protocol::mesh::string_match::Kind;

/// Longest regular expression that is taken, in characters, and how large it may compile, in bytes: what a user
/// writes must not be able to exhaust a proxy.
const REGEX_CHARACTERS: usize = 1024;
const REGEX_BYTES: usize = 1 << 20;

/// All that is set must hold.
#[derive(Debug)]
pub struct Match {
    uri: Option<Text>,
    headers: Vec<(HeaderName, Option<Text>)>,
}

#[derive(Debug)]
enum Text {
    Exact(String),
    Prefix(String),
    Regex(Regex),
}

/// Why a match cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMatch {
    /// The regular expression does not compile, or is too large.
    #[error("regex {0:?}: {1}")]
    Regex(String, String),
    /// Not a header's name.
    #[error("{0:?} is not a header name")]
    Header(String),
    /// Sent by a control plane that knows more kinds of match than this proxy does.
    #[error("a kind of match that this version does not know")]
    Unknown,
}

impl Match {
    /// Makes a published match ready.
    ///
    /// # Errors
    /// See [`InvalidMatch`].
    pub fn new(published: mesh::HttpMatch) -> Result<Self, InvalidMatch> {
        let uri = published.uri.map(Text::new).transpose()?;
        let header = |header: mesh::HeaderMatch| {
            let name = HeaderName::from_bytes(header.name.as_bytes());
            let name = name.map_err(|_| InvalidMatch::Header(header.name))?;
            Ok((name, header.value.map(Text::new).transpose()?))
        };
        let headers = published
            .headers
            .into_iter()
            .map(header)
            .collect::<Result<_, _>>()?;
        Ok(Self { uri, headers })
    }

    /// Whether the request is meant: the path without its query, and of a header that is there several times any
    /// one of its values.
    pub fn holds(&self, request: &Parts) -> bool {
        let path = self
            .uri
            .as_ref()
            .is_none_or(|text| text.holds(request.uri.path().as_bytes()));
        path && self.headers.iter().all(|(name, text)| match text {
            None => request.headers.contains_key(name),
            Some(text) => request
                .headers
                .get_all(name)
                .iter()
                .any(|value| text.holds(value.as_bytes())),
        })
    }
}

impl Text {
    fn new(published: mesh::StringMatch) -> Result<Self, InvalidMatch> {
        Ok(match published.kind.ok_or(InvalidMatch::Unknown)? {
            Kind::Exact(text) => Self::Exact(text),
            Kind::Prefix(text) => Self::Prefix(text),
            Kind::Regex(text) => Self::Regex(regex(&text).map_err(|why| InvalidMatch::Regex(text, why))?),
        })
    }

    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// Compiles a regular expression that must match the whole value, as RE2's full match does in Istio.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn regex(text: &str) -> Result<Regex, String> {
    if text.chars().count() > REGEX_CHARACTERS {
        return Err(format!("longer than {REGEX_CHARACTERS} characters"));
    }
    // Compiled alone first: "a)(b" is wrong, but would be right between the parentheses below.
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(REGEX_BYTES)
            .dfa_size_limit(REGEX_BYTES)
            .build()
    };
    build(text)
        .and_then(|_| build(&format!("^(?:{text})$")))
        .map_err(|error| {
            error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: Kind) -> mesh::StringMatch {
        mesh::StringMatch { kind: Some(kind) }
    }

    #[test]
    fn texts() {
        let (exact, prefix, regex) = (
            |s: &str| Kind::Exact(s.into()),
            |s: &str| Kind::Prefix(s.into()),
            |s: &str| Kind::Regex(s.into()),
        );
        for (kind, value, expected) in [
            (exact("/a"), "/a", true),
            (exact("/a"), "/a/", false),
            (prefix("/v2"), "/v2x", true),
            (prefix("/v2"), "/v1", false),
            (regex("/v[0-9]+"), "/v12", true),
            (regex("/v[0-9]+"), "/v12/x", false),
            (regex("a|b"), "bc", false),
            (regex("(?i)CURL.*"), "curl/8", true),
        ] {
            assert_eq!(
                Text::new(text(kind.clone())).unwrap().holds(value.as_bytes()),
                expected,
                "{kind:?} {value}"
            );
        }
    }

    #[test]
    fn headers_hold_for_any_of_their_values_and_for_presence() {
        let header = |name: &str, value| mesh::HeaderMatch {
            name: name.into(),
            value,
        };
        let one = Match::new(mesh::HttpMatch {
            uri: None,
            headers: vec![
                header("end-user", Some(text(Kind::Exact("jason".into())))),
                header("x-any", None),
            ],
            ..Default::default()
        });
        let one = one.unwrap();
        for (headers, expected) in [
            (vec![("end-user", "jason"), ("x-any", "")], true),
            (
                vec![("end-user", "ann"), ("end-user", "jason"), ("x-any", "1")],
                true,
            ),
            (vec![("end-user", "jason")], false),
            (vec![("end-user", "jasons"), ("x-any", "1")], false),
        ] {
            let mut request = http::Request::get("/");
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            assert_eq!(
                one.holds(&request.body(()).unwrap().into_parts().0),
                expected,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_matched_is_refused() {
        for kind in [
            Kind::Regex("(".into()),
            Kind::Regex("a)(b".into()),
            Kind::Regex("a".repeat(1025)),
            Kind::Regex("(a{1000}){1000}".into()),
        ] {
            assert!(Text::new(text(kind.clone())).is_err(), "{kind:?}");
        }
        assert!(Text::new(mesh::StringMatch { kind: None }).is_err());
    }
}
