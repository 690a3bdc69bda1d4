//! What a route and its destination do to headers, made ready. Used by `http::forward` on the way out and back.

use http::header::{HOST, HeaderName, HeaderValue};

use super::Invalid;
use super::format::{Facts, Value};
use crate::message::Fields;
use crate::protocol::mesh;

/// Operations on the headers of requests and of responses.
#[derive(Debug, Default)]
pub struct Operations {
    /// On the way to the destination.
    pub request: HeaderOperations,
    /// On the way back.
    pub response: HeaderOperations,
}

/// Operations on the headers of one message.
#[derive(Debug, Default)]
pub struct HeaderOperations {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, Value)>,
    add: Vec<(HeaderName, Value)>,
    /// `host` or `:authority` among what is set: the authority is not a header everywhere.
    authority: Option<Value>,
}

impl Operations {
    pub(super) fn new(published: Option<mesh::Headers>) -> Result<Self, Invalid> {
        let published = published.unwrap_or_default();
        Ok(Self {
            request: HeaderOperations::new(published.request)?,
            response: HeaderOperations::new(published.response)?,
        })
    }

    /// Whether nothing is to be done.
    pub(crate) fn are_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

impl HeaderOperations {
    fn new(published: Option<mesh::HeaderOperations>) -> Result<Self, Invalid> {
        let published = published.unwrap_or_default();
        let name = |text: String| {
            HeaderName::from_bytes(text.as_bytes()).map_err(|_| Invalid::Header(text, String::new()))
        };
        let mut ready = Self::default();
        for (operations, to) in [(published.set, &mut ready.set), (published.add, &mut ready.add)] {
            for one in operations {
                let value = Value::new(&one.value);
                let value = value.ok_or_else(|| Invalid::Header(one.name.clone(), one.value))?;
                if one.name == ":authority" || one.name.eq_ignore_ascii_case(HOST.as_str()) {
                    ready.authority = Some(value);
                } else {
                    to.push((name(one.name)?, value));
                }
            }
        }
        ready.remove = published.remove.into_iter().map(name).collect::<Result<_, _>>()?;
        Ok(ready)
    }

    /// Whether nothing is to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty() && self.authority.is_none()
    }

    /// Removes, then sets, then adds, as Envoy does.
    /// Values that refer to headers mean those from before. Gives the authority that a request gets, if it gets one.
    pub(crate) fn apply(&self, headers: &mut Fields, facts: &Facts<'_>) -> Option<HeaderValue> {
        let values = |all: &[(HeaderName, Value)]| -> Vec<Option<HeaderValue>> {
            all.iter().map(|(_, value)| value.of(headers, facts)).collect()
        };
        let (set, add) = (values(&self.set), values(&self.add));
        let authority = self.authority.as_ref().and_then(|value| value.of(headers, facts));
        for name in &self.remove {
            headers.remove(name);
        }
        for ((name, _), value) in self.set.iter().zip(set) {
            if let Some(value) = value {
                headers.set(name, value);
            }
        }
        for ((name, _), value) in self.add.iter().zip(add) {
            if let Some(value) = value {
                headers.add(name, value);
            }
        }
        authority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, value: &str) -> mesh::HeaderValue {
        mesh::HeaderValue {
            name: name.into(),
            value: value.into(),
        }
    }

    #[test]
    fn remove_comes_first_then_set_then_add() {
        let operations = HeaderOperations::new(Some(mesh::HeaderOperations {
            set: vec![value("X-Set", "1"), value("Host", "other")],
            add: vec![value("x-add", "2"), value("x-gone", "100%%")],
            remove: vec!["X-Gone".into(), "x-absent".into()],
        }))
        .unwrap();
        let mut headers = Fields::default();
        for (name, value) in [("x-set", "0"), ("x-add", "0"), ("x-gone", "0"), ("host", "a")] {
            headers.add(&HeaderName::from_static(name), value);
        }
        let facts = Facts {
            peer: "10.0.0.1:4000".parse().unwrap(),
            destination: "10.96.0.7:80".parse().unwrap(),
            version: http::Version::HTTP_11,
            method: "GET",
            path: "/",
            authority: b"a",
            status: None,
        };
        let authority = operations.apply(&mut headers, &facts);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut left: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{}: {}", text(name), text(value)))
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["host: a", "x-add: 0", "x-add: 2", "x-gone: 100%", "x-set: 1"]
        );
        assert_eq!(authority.unwrap(), "other");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (name, text) in [("a b", "1"), ("a", "1\n2")] {
            let operations = mesh::HeaderOperations {
                set: vec![value(name, text)],
                ..Default::default()
            };
            assert!(matches!(
                HeaderOperations::new(Some(operations)),
                Err(Invalid::Header(..))
            ));
        }
    }
}
