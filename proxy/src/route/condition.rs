//! One thing that a match asks of a request: whether it is so, and in words for `explain`. Belongs to `matcher`, for
//! which a match is a list of these.

use std::fmt;

use http::HeaderName;

use super::matcher::{Asked, parameter};
use super::text::Text;

#[derive(Debug)]
pub(super) enum Condition {
    /// The path, and whether its case matters not.
    Uri(Text, bool),
    Method(Text),
    Scheme(Text),
    Authority(Text),
    /// Without a text it has to be there.
    Header(HeaderName, Option<Text>),
    WithoutHeader(HeaderName, Option<Text>),
    QueryParam(String, Option<Text>),
}

impl Condition {
    /// Of a header that is there several times any one of its values may be meant, of a parameter the first (as Envoy
    /// does), and that as it was written, not decoded.
    #[inline]
    pub(super) fn holds(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Uri(text, true) => text.holds_in_any_case(asked.path.as_bytes()),
            Self::Uri(text, false) => text.holds(asked.path.as_bytes()),
            Self::Method(text) => text.holds(asked.request.method.as_str().as_bytes()),
            Self::Scheme(text) => text.holds(asked.scheme.as_bytes()),
            Self::Authority(text) => text.holds(asked.authority),
            Self::Header(name, text) => has(asked, name, text.as_ref()),
            Self::WithoutHeader(name, text) => !has(asked, name, text.as_ref()),
            Self::QueryParam(name, text) => {
                let value = asked.request.uri.query().and_then(|query| parameter(query, name));
                value.is_some_and(|value| {
                    let text = text.as_ref();
                    text.is_none_or(|text| text.holds(value.as_bytes()))
                })
            }
        }
    }

    /// What the request has where the condition looks.
    pub(super) fn found(&self, asked: &Asked<'_>) -> String {
        let quoted = |what: &str, value: &[u8]| format!("{what} is {:?}", String::from_utf8_lossy(value));
        match self {
            Self::Uri(..) => quoted("the path", asked.path.as_bytes()),
            Self::Method(_) => quoted("the method", asked.request.method.as_str().as_bytes()),
            Self::Scheme(_) => quoted("the scheme", asked.scheme.as_bytes()),
            Self::Authority(_) => quoted("the authority", asked.authority),
            Self::Header(name, _) | Self::WithoutHeader(name, _) => {
                let values = asked.request.headers.all(name);
                let values: Vec<_> = values
                    .map(|value| format!("{:?}", String::from_utf8_lossy(value)))
                    .collect();
                match values.is_empty() {
                    true => "the request has none".to_owned(),
                    false => format!("the request has {}", values.join(" and ")),
                }
            }
            Self::QueryParam(name, _) => {
                let value = asked.request.uri.query().and_then(|query| parameter(query, name));
                value.map_or_else(
                    || "the request has none".to_owned(),
                    |value| format!("the request has {value:?}"),
                )
            }
        }
    }
}

#[inline]
fn has(asked: &Asked<'_>, name: &HeaderName, text: Option<&Text>) -> bool {
    let headers = &asked.request.headers;
    let Some(text) = text else {
        return headers.contains(name);
    };
    // Most conditions on headers are on what most requests do not have, and `get` is the cheaper way to see that.
    headers
        .get(name)
        .is_some_and(|first| text.holds(first) || headers.all(name).skip(1).any(|value| text.holds(value)))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, what: &str, name: &str, text: &Option<Text>| match text {
            Some(text) => write!(f, "{what} {name} {text}"),
            None => write!(f, "{what} {name} present"),
        };
        match self {
            Self::Uri(text, true) => write!(f, "uri {text} in any case"),
            Self::Uri(text, false) => write!(f, "uri {text}"),
            Self::Method(text) => write!(f, "method {text}"),
            Self::Scheme(text) => write!(f, "scheme {text}"),
            Self::Authority(text) => write!(f, "authority {text}"),
            Self::Header(name, text) => named(f, "header", name.as_str(), text),
            Self::WithoutHeader(name, text) => named(f, "without header", name.as_str(), text),
            Self::QueryParam(name, text) => named(f, "query parameter", name, text),
        }
    }
}
