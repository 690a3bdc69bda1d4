//! Where a request or a connection goes: a published service, made ready for matching, and the pure `find` and
//! `choose`. Before it on the path: `http` or `tcp`; after it: `balance`.

use std::sync::Arc;

use http::request::Parts;

use crate::balance::Cluster;
use crate::protocol::mesh;

mod matcher;
mod path;
mod text;

pub use matcher::{InvalidMatch, Match};
pub use text::regex;

use matcher::Asked;

/// A destination as this proxy's pod sees it: one address and port.
#[derive(Debug)]
pub struct Service {
    /// Fully qualified name, for instance `helloworld.default.svc.cluster.local`.
    pub host: String,
    /// The service's port, not the pods'.
    pub port: u16,
    /// How to treat the bytes.
    pub protocol: mesh::Protocol,
    /// In order; the first that matches has the request.
    pub http: Vec<Route>,
    /// Where opaque connections go.
    pub tcp: Vec<Backend>,
}

/// One rule of a service.
#[derive(Debug)]
pub struct Route {
    /// Where the rule is from, for logs.
    pub name: String,
    matches: Vec<Match>,
    /// The weighted choices; never empty.
    pub backends: Vec<Backend>,
}

/// One weighted choice of a route.
#[derive(Debug)]
pub struct Backend {
    /// Relative to the sum of its route's weights.
    pub weight: u32,
    /// Where it leads.
    pub target: Target,
}

/// Where a choice leads.
#[derive(Debug)]
pub enum Target {
    /// To one of these endpoints.
    Cluster(Arc<Cluster>),
    /// Nowhere: the rule names what is not there. The text is for the user who wrote the rule.
    Unavailable(String),
}

/// Why a published service cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// A match cannot be made ready.
    #[error("route {route:?}: {source}")]
    Match {
        /// The route's name.
        route: String,
        /// What is wrong with it.
        source: InvalidMatch,
    },
    /// Routes without a place to go would be a silent black hole.
    #[error("{0} has no backends; at least one is needed")]
    NoBackends(String),
    /// A port number out of range.
    #[error("port {0} is not between 1 and 65535")]
    Port(u32),
}

impl Service {
    /// Makes a published service ready for matching. `cluster` gives what a backend leads to.
    ///
    /// # Errors
    /// See [`Invalid`]; the service as a whole is refused, since half of its rules would route wrongly.
    pub fn new(
        published: mesh::Service,
        mut cluster: impl FnMut(&mesh::Backend) -> Arc<Cluster>,
    ) -> Result<Self, Invalid> {
        let protocol = published.protocol();
        let port = u16::try_from(published.port).ok().filter(|port| *port != 0);
        let port = port.ok_or(Invalid::Port(published.port))?;
        let mut backends = |published: Vec<mesh::Backend>| -> Vec<Backend> {
            published
                .into_iter()
                .map(|one| Backend::new(one, &mut cluster))
                .collect()
        };
        let mut http = Vec::with_capacity(published.http_routes.len());
        for route in published.http_routes {
            let matches = route
                .matches
                .into_iter()
                .map(Match::new)
                .collect::<Result<_, _>>();
            let matches = matches.map_err(|source| Invalid::Match {
                route: route.name.clone(),
                source,
            })?;
            http.push(Route {
                matches,
                backends: backends(route.backends),
                name: route.name,
            });
        }
        let tcp = backends(published.tcp_backends);
        if let Some(empty) = http.iter().find(|route| route.backends.is_empty()) {
            return Err(Invalid::NoBackends(format!("route {:?}", empty.name)));
        }
        if protocol != mesh::Protocol::Tcp && http.is_empty()
            || protocol != mesh::Protocol::Http && tcp.is_empty()
        {
            return Err(Invalid::NoBackends(format!("{}:{port}", published.host)));
        }
        Ok(Self {
            host: published.host,
            port,
            protocol,
            http,
            tcp,
        })
    }
}

impl Backend {
    fn new(published: mesh::Backend, cluster: &mut impl FnMut(&mesh::Backend) -> Arc<Cluster>) -> Self {
        let target = if published.unavailable.is_empty() {
            Target::Cluster(cluster(&published))
        } else {
            Target::Unavailable(published.unavailable)
        };
        Self {
            weight: published.weight,
            target,
        }
    }
}

/// A route, and how it was found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The route.
    pub route: &'a Route,
    /// The match that held; `None` where the route takes everything.
    pub by: Option<&'a Match>,
}

/// The first route whose matches hold, or `None`: that request is answered with 404, as Istio does.
pub fn find<'a>(routes: &'a [Route], request: &Parts) -> Option<Found<'a>> {
    let asked = Asked::new(request);
    routes.iter().find_map(|route| {
        if route.matches.is_empty() {
            return Some(Found { route, by: None });
        }
        let by = route.matches.iter().find(|one| one.holds(&asked))?;
        Some(Found { route, by: Some(by) })
    })
}

/// The choice that `draw` falls on, with probabilities as the weights; `draw` is any number, uniformly drawn.
/// A single choice gets everything, whatever its weight; `None` only if there is no choice.
pub fn choose(backends: &[Backend], draw: u64) -> Option<&Backend> {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    if backends.len() < 2 || total == 0 {
        return backends.first();
    }
    let mut left = draw % total;
    backends.iter().find(|backend| {
        let weight = u64::from(backend.weight);
        let hit = left < weight;
        left = left.saturating_sub(weight);
        hit
    })
}

#[cfg(test)]
mod tests;
