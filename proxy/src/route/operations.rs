//! What a route and its destination do to headers, made ready. Used by `http::forward` on the way out and back.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};

use super::Invalid;
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
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    /// `host` or `:authority` among what is set: the authority is not a header everywhere.
    authority: Option<HeaderValue>,
}

impl Operations {
    pub(super) fn new(published: Option<mesh::Headers>) -> Result<Self, Invalid> {
        let published = published.unwrap_or_default();
        Ok(Self {
            request: HeaderOperations::new(published.request)?,
            response: HeaderOperations::new(published.response)?,
        })
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
                // Istio's values are Envoy's format strings, in which a percent sign is written twice.
                let value = HeaderValue::from_str(&one.value.replace("%%", "%"))
                    .map_err(|_| Invalid::Header(one.name.clone(), one.value))?;
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

    /// Removes, then sets, then adds, as Envoy does.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }

    /// The authority that requests get.
    pub(crate) fn authority(&self) -> Option<&HeaderValue> {
        self.authority.as_ref()
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
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-set", "0"), ("x-add", "0"), ("x-gone", "0"), ("host", "a")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        operations.apply(&mut headers);
        let mut left: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["host: a", "x-add: 0", "x-add: 2", "x-gone: 100%", "x-set: 1"]
        );
        assert_eq!(operations.authority().unwrap(), "other");
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
