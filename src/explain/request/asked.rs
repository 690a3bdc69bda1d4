//! A request as it is given on the command line. After: `answer`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use anyhow::Context;
use http::header::HOST;
use http::{HeaderName, HeaderValue, Method, Uri};
use outrigger_proxy::message;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// By its name, with or without a namespace before a slash.
    Pod(Option<String>, String),
    Labels(BTreeMap<String, String>),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return match text.split_once('/') {
                _ if text.is_empty() => Err("name a pod, or labels as in app=web,version=v1".to_owned()),
                Some((namespace, name)) => Ok(Self::Pod(Some(namespace.to_owned()), name.to_owned())),
                None => Ok(Self::Pod(None, text.to_owned())),
            };
        }
        let label = |pair: &str| match pair.trim().split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(format!("{pair:?} is not a label; give LABEL=VALUE[,LABEL=VALUE]")),
        };
        let labels = text.split(',').map(label).collect::<Result<_, _>>()?;
        Ok(Self::Labels(labels))
    }
}

/// How the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    /// TLS of the client's own, of which only the name that it asks for is seen.
    Tls,
    Tcp,
}

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    /// In lower case, without brackets and the dot at its end.
    pub(super) host: String,
    pub(super) port: u16,
    /// As the client writes it in the Host header.
    authority: String,
    /// With the query.
    pub(super) path: String,
    pub(super) text: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let uri: Uri = whole.parse().map_err(|error| format!("{error}"))?;
        let (scheme, default) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, Some(80)),
            Some("https") => (Scheme::Tls, Some(443)),
            Some("tcp") => (Scheme::Tcp, None),
            _ => return Err("the scheme must be http, https or tcp".to_owned()),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or("names no host")?;
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let port = uri.port_u16().or(default);
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: port
                .filter(|port| *port > 0)
                .ok_or("needs a port, as in tcp://db:5432")?,
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            text: whole,
        })
    }
}

impl Url {
    /// If the host is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// A header that the client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header(HeaderName, HeaderValue);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("give 'NAME: VALUE'")?;
        let name = HeaderName::from_str(name.trim()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|error| error.to_string())?;
        Ok(Self(name, value))
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<Header>,
}

impl Request {
    /// As the client's proxy reads it.
    pub(super) fn head(&self) -> anyhow::Result<message::Request> {
        let mut request = http::Request::builder().method(&self.method).uri(&self.url.path);
        let own_host = self.headers.iter().any(|Header(name, _)| name == HOST);
        if !own_host {
            request = request.header(HOST, &self.url.authority);
        }
        for Header(name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(()).with_context(|| self.url.text.clone())?;
        Ok(request.into_parts().0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, expected) in [
            ("http://web/a?b=c", Ok((Scheme::Http, "web", 80, "/a?b=c"))),
            ("Web.shop.:8080", Ok((Scheme::Http, "web.shop", 8080, "/"))),
            (
                "https://api.example.com",
                Ok((Scheme::Tls, "api.example.com", 443, "/")),
            ),
            ("tcp://db:5432", Ok((Scheme::Tcp, "db", 5432, "/"))),
            ("http://[fd00::7]:81/", Ok((Scheme::Http, "fd00::7", 81, "/"))),
            ("tcp://db", Err("needs a port, as in tcp://db:5432")),
            ("ftp://a", Err("the scheme must be http, https or tcp")),
            ("http://web:0/", Err("needs a port, as in tcp://db:5432")),
        ] {
            let seen = text.parse::<Url>();
            let seen = seen
                .as_ref()
                .map(|url| (url.scheme, url.host.as_str(), url.port, url.path.as_str()));
            assert_eq!(seen.map_err(String::as_str), expected, "{text}");
        }
    }

    #[test]
    fn clients() {
        let pod = |namespace: Option<&str>| From::Pod(namespace.map(str::to_owned), "a".to_owned());
        let labels = |labels: &[(&str, &str)]| {
            let labels = labels
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()));
            From::Labels(labels.collect())
        };
        for (text, expected) in [
            ("a", Some(pod(None))),
            ("shop/a", Some(pod(Some("shop")))),
            ("app=a, version=", Some(labels(&[("app", "a"), ("version", "")]))),
            ("example.com/app=a", Some(labels(&[("example.com/app", "a")]))),
            ("app=a,b", None),
            ("=a", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<From>().ok(), expected, "{text}");
        }
    }
}
