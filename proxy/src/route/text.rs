//! One comparison of a rule with a text of a request: exact, by prefix or by regular expression. Belongs to `matcher`.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use super::InvalidMatch;
use crate::protocol::mesh;
use crate::protocol::mesh::string_match::Kind;

/// Longest regular expression that is taken, in characters, and how large it may compile, in bytes: what a user
/// writes must not be able to exhaust a proxy.
const REGEX_CHARACTERS: usize = 1024;
const REGEX_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) enum Text {
    Exact(String),
    Prefix(String),
    Regex(Regex),
}

impl Text {
    pub(crate) fn new(published: mesh::StringMatch) -> Result<Self, InvalidMatch> {
        Ok(match published.kind.ok_or(InvalidMatch::Unknown)? {
            Kind::Exact(text) => Self::Exact(text),
            Kind::Prefix(text) => Self::Prefix(text),
            Kind::Regex(text) => Self::Regex(regex(&text).map_err(|why| InvalidMatch::Regex(text, why))?),
        })
    }

    pub(crate) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    /// The same whatever the case of ASCII letters; a regular expression says itself whether it looks at it.
    pub(crate) fn holds_in_any_case(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value.eq_ignore_ascii_case(text.as_bytes()),
            Self::Prefix(text) => value
                .get(..text.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes())),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "exact {text:?}"),
            Self::Prefix(text) => write!(f, "prefix {text:?}"),
            Self::Regex(regex) => {
                let whole = regex.as_str();
                let inner = whole
                    .strip_prefix(BEFORE)
                    .and_then(|rest| rest.strip_suffix(AFTER));
                write!(f, "regex \"{}\"", inner.unwrap_or(whole))
            }
        }
    }
}

/// What makes a regular expression match the whole value.
const BEFORE: &str = "^(?:";
const AFTER: &str = ")$";

/// Compiles a regular expression that must match the whole value, as RE2's full match does in Istio.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn regex(text: &str) -> Result<Regex, String> {
    // Compiled alone first: "a)(b" is wrong, but would be right between the parentheses below.
    search(text)?;
    build(&format!("{BEFORE}{text}{AFTER}"))
}

/// Compiles a regular expression that is looked for anywhere in a value.
///
/// # Errors
/// What is wrong with it, in one line.
pub(crate) fn search(text: &str) -> Result<Regex, String> {
    if text.chars().count() > REGEX_CHARACTERS {
        return Err(format!("longer than {REGEX_CHARACTERS} characters"));
    }
    build(text)
}

fn build(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| {
            let error = error.to_string();
            error.lines().last().unwrap_or_default().trim().to_owned()
        })
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
