//! Where a client's address does not say which service it means: the services by the hosts that clients name, and the
//! backends by the names that TLS asks for. Belongs to `route`.

use std::collections::{BTreeMap, HashMap};

use super::Backend;

/// Other services by their hosts.
#[derive(Debug, Default)]
pub struct Hosts {
    /// By the host, the name of the resource.
    exact: HashMap<String, String>,
    /// What a wildcard's names end in, the longest first, and the port.
    wildcards: Vec<(String, String)>,
}

impl Hosts {
    pub(super) fn new(published: BTreeMap<String, String>) -> Self {
        let (mut exact, mut wildcards) = (HashMap::new(), Vec::new());
        for (host, resource) in published {
            match (host.strip_prefix('*'), resource.rsplit_once(':')) {
                (Some(suffix), Some((_, port))) => wildcards.push((suffix.to_owned(), port.to_owned())),
                _ => {
                    exact.insert(host, resource);
                }
            }
        }
        wildcards.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        Self { exact, wildcards }
    }

    /// Whether the address alone says it.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    /// The name of the Service resource for an authority as a client wrote it, with or without a port.
    pub fn find(&self, authority: &str) -> Option<String> {
        let host = host(authority);
        if let Some(resource) = self.exact.get(&host) {
            return Some(resource.clone());
        }
        let longer = |suffix: &str| host.len() > suffix.len() && host.ends_with(suffix);
        let mut wildcards = self.wildcards.iter();
        let (_, port) = wildcards.find(|(suffix, _)| longer(suffix))?;
        Some(format!("{host}:{port}"))
    }
}

/// Without a port and the dot at its end, in lower case.
fn host(authority: &str) -> String {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Where connections go that begin with TLS and ask for one of these names.
#[derive(Debug)]
pub struct TlsRoute {
    /// Where the rule is from, for logs.
    pub name: String,
    sni_hosts: Vec<String>,
    /// The weighted choices.
    pub backends: Vec<Backend>,
}

impl TlsRoute {
    pub(super) fn new(name: String, sni_hosts: Vec<String>, backends: Vec<Backend>) -> Self {
        Self {
            name,
            sni_hosts,
            backends,
        }
    }

    /// The first that means this name; a client that asks for none gets none but a route for every name.
    pub fn find<'a>(routes: &'a [Self], name: Option<&str>) -> Option<&'a Self> {
        routes.iter().find(|route| route.means(name))
    }

    /// Why a connection is not meant, `name` being the one that it asks for if it is TLS and asks for one; `None` if it is.
    pub fn unmet(&self, name: Option<&str>) -> Option<String> {
        let found = match name {
            Some(name) => format!("the server name is {name:?}"),
            None => "there is no server name".to_owned(),
        };
        (!self.means(name)).then(|| format!("sniHosts {}: {found}", self.sni_hosts.join(", ")))
    }

    fn means(&self, name: Option<&str>) -> bool {
        let one = |pattern: &String| match (pattern.strip_prefix('*'), name) {
            (Some(""), name) => name.is_some(),
            (_, None) => false,
            (Some(suffix), Some(name)) => name.len() > suffix.len() && name.ends_with(suffix),
            (None, Some(name)) => pattern == name,
        };
        self.sni_hosts.is_empty() || self.sni_hosts.iter().any(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_lead_to_resources() {
        let published = [
            ("api.example.com", "api.example.com:80"),
            ("*.example.com", "*.example.com:80"),
            ("*.eu.example.com", "*.eu.example.com:8080"),
            ("web", "web.default.svc.cluster.local:80"),
        ];
        let published = published.map(|(host, resource)| (host.to_owned(), resource.to_owned()));
        let hosts = Hosts::new(published.into());
        for (authority, expected) in [
            ("api.example.com", Some("api.example.com:80")),
            ("API.Example.com:8443", Some("api.example.com:80")),
            ("api.example.com.", Some("api.example.com:80")),
            ("a.example.com", Some("a.example.com:80")),
            ("a.eu.example.com:1", Some("a.eu.example.com:8080")),
            ("example.com", None),
            ("web:80", Some("web.default.svc.cluster.local:80")),
            ("web.other", None),
            ("[::1]:80", None),
            ("", None),
            (":", None),
        ] {
            assert_eq!(hosts.find(authority).as_deref(), expected, "{authority}");
        }
        assert!(!hosts.is_empty() && Hosts::default().is_empty());
    }

    #[test]
    fn names_that_tls_asks_for() {
        let route = |name: &str, hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            TlsRoute::new(name.to_owned(), hosts, Vec::new())
        };
        let routes = [
            route("exact", &["a.example.com", "b.example.com"]),
            route("wildcard", &["*.example.com"]),
        ];
        let more = [route("any name", &["*"]), route("everything", &[])];
        for (name, first, of_more) in [
            (Some("b.example.com"), Some("exact"), "any name"),
            (Some("c.example.com"), Some("wildcard"), "any name"),
            (Some("example.com"), None, "any name"),
            (Some(".example.com"), None, "any name"),
            (None, None, "everything"),
        ] {
            let found = |routes| TlsRoute::find(routes, name).map(|route: &TlsRoute| route.name.as_str());
            assert_eq!(found(&routes), first, "{name:?}");
            assert_eq!(found(&more), Some(of_more), "{name:?}");
        }
    }
}
