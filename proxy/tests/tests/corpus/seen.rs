//! What an application sees of a request, however it reads it. Belongs to `corpus`.

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::shown;

/// One request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    /// Names in lower case.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, String)>,
}

impl Seen {
    /// As hyper's server reads it.
    pub(super) async fn by_hyper(request: Request<Incoming>) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.ok()?;
        let pairs = |headers: &http::HeaderMap| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let pairs = headers.iter();
            pairs
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect()
        };
        Some(Self {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            fields: pairs(&parts.headers),
            trailers: body.trailers().map(pairs).unwrap_or_default(),
            body: body.to_bytes().to_vec(),
        })
    }

    /// In a line: method, target and Host, other fields with `+`, the body in quotes, trailers with `;`. Framing and
    /// what the proxy adds are left out.
    pub(super) fn line(&self) -> String {
        let host = self.fields.iter().find(|(name, _)| name == "host");
        let host = host.map_or("-", |(_, value)| value.as_str());
        let mut line = format!("{} {} {}", shown(&self.method), shown(&self.target), shown(host));
        let ours = [
            "host",
            "content-length",
            "transfer-encoding",
            "x-request-id",
            "x-forwarded-proto",
        ];
        let other =
            |(name, _): &&(String, String)| !ours.contains(&name.as_str()) && !name.starts_with("x-envoy-");
        let mut fields: Vec<_> = self.fields.iter().filter(other).collect();
        fields.sort_by_key(|(name, _)| name);
        if fields.len() > 10 {
            line += &format!(" +{} fields", fields.len());
            fields.clear();
        }
        for (name, value) in fields {
            line += &format!(" +{}: {}", shown(name), shown(value));
        }
        if !self.body.is_empty() {
            line += &format!(" \"{}\"", shown(&String::from_utf8_lossy(&self.body)));
        }
        for (name, value) in &self.trailers {
            line += &format!(" ;{name}: {}", shown(value));
        }
        line
    }
}
