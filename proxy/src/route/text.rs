//! One comparison of a rule with a text of a request: exact, by prefix or by regular expression. Belongs to `matcher`.

use std::fmt;

use ::regex::bytes::Regex;

use super::InvalidMatch;
use super::regex::regex;
use crate::protocol::mesh;
use crate::protocol::mesh::string_match::Kind;

#[derive(Debug)]
pub(crate) enum Text {
    Exact(String),
    Prefix(String),
    /// As it was written, and as it is matched.
    Regex(String, Regex),
}

impl Text {
    pub(crate) fn new(published: mesh::StringMatch) -> Result<Self, InvalidMatch> {
        Ok(match published.kind.ok_or(InvalidMatch::Unknown)? {
            Kind::Exact(text) => Self::Exact(text),
            Kind::Prefix(text) => Self::Prefix(text),
            Kind::Regex(text) => match regex(&text) {
                Ok(compiled) => Self::Regex(text, compiled),
                Err(why) => return Err(InvalidMatch::Regex(text, why)),
            },
        })
    }

    pub(crate) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(_, regex) => regex.is_match(value),
        }
    }

    /// The same whatever the case of ASCII letters; a regular expression says itself whether it looks at it.
    pub(crate) fn holds_in_any_case(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value.eq_ignore_ascii_case(text.as_bytes()),
            Self::Prefix(text) => value
                .get(..text.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes())),
            Self::Regex(_, regex) => regex.is_match(value),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "exact {text:?}"),
            Self::Prefix(text) => write!(f, "prefix {text:?}"),
            Self::Regex(text, _) => write!(f, "regex \"{text}\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &Kind) -> Result<Text, InvalidMatch> {
        let kind = Some(kind.clone());
        Text::new(mesh::StringMatch { kind })
    }

    #[test]
    fn texts() {
        let (exact, prefix, regex) = (
            |s: &str| Kind::Exact(s.into()),
            |s: &str| Kind::Prefix(s.into()),
            |s: &str| Kind::Regex(s.into()),
        );
        for (kind, value, holds, in_any_case) in [
            (exact("/a"), "/a", true, true),
            (exact("/a"), "/A", false, true),
            (exact("/a"), "/a/", false, false),
            (prefix("/v2"), "/v2x", true, true),
            (prefix("/v2"), "/V2x", false, true),
            (prefix("/v2"), "/v1", false, false),
            (prefix("/v2"), "/v", false, false),
            (regex("/v[0-9]+"), "/v12", true, true),
            (regex("/v[0-9]+"), "/V12", false, false),
            (regex("/v[0-9]+"), "/v12/x", false, false),
            (regex("a|b"), "bc", false, false),
            (regex("(?i)CURL.*"), "curl/8", true, true),
        ] {
            let text = text(&kind).unwrap();
            assert_eq!(text.holds(value.as_bytes()), holds, "{kind:?} {value}");
            assert_eq!(
                text.holds_in_any_case(value.as_bytes()),
                in_any_case,
                "{kind:?} {value}"
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
            assert!(text(&kind).is_err(), "{kind:?}");
        }
        assert!(Text::new(mesh::StringMatch { kind: None }).is_err());
    }
}
