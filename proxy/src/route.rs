//! Where a request or a connection goes: a published service, made ready for matching, and the pure `find` and
//! `choose`. Before it on the path: `http` or `tcp`; after it: `balance`.

use std::sync::Arc;

use http::StatusCode;

use crate::balance::Cluster;
use crate::message::Request;
use crate::protocol::mesh;

mod condition;
mod cors;
mod fault;
mod format;
mod hosts;
mod matcher;
mod operations;
mod path;
mod redirect;
mod regex;
mod retries;
mod rewrite;
mod rule;
mod text;

pub use cors::Cors;
pub(crate) use cors::Crossing;
pub use fault::{Abort, Fault};
pub(crate) use format::Facts;
pub use format::unknown_variables;
pub use hosts::{Hosts, TlsRoute};
pub use matcher::{InvalidMatch, Match};
pub(crate) use matcher::{authority, authority_of};
pub use operations::{HeaderOperations, Operations};
pub use path::canonical;
pub use redirect::Redirect;
pub use regex::regex;
pub(crate) use retries::Ended;
pub use retries::Retries;
pub use rewrite::Rewrite;
pub use rule::{Instead, Mirror, Route};

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
    /// Where connections go that ask for a name by TLS; none of them: `tcp`.
    pub tls: Vec<TlsRoute>,
    /// Services that the address may mean as well, by the hosts that requests name.
    pub hosts: Hosts,
}

/// One weighted choice of a route.
#[derive(Debug)]
pub struct Backend {
    /// Relative to the sum of its route's weights.
    pub weight: u32,
    /// Where it leads.
    pub target: Target,
    /// What is done to headers on the way there and back, beside the route's own.
    pub headers: Operations,
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
    /// One of its routes.
    #[error("route {route:?}: {source}")]
    Route {
        /// The route's name.
        route: String,
        /// What is wrong with it.
        source: Box<Invalid>,
    },
    /// A match cannot be made ready.
    #[error(transparent)]
    Match(#[from] InvalidMatch),
    /// Routes without a place to go would be a silent black hole.
    #[error("{0} has no backends; at least one is needed")]
    NoBackends(String),
    /// A port number out of range.
    #[error("port {0} is not between 1 and 65535")]
    Port(u32),
    /// Not a header's name, or not a header's value.
    #[error("header {0:?} with value {1:?} cannot be sent")]
    Header(String, String),
    /// Not a status that a response can have.
    #[error("status {0} is not between 200 and 599")]
    Status(u32),
}

impl Invalid {
    /// A status of a whole response.
    fn status(code: u32) -> Result<StatusCode, Self> {
        let status = u16::try_from(code).ok().filter(|code| (200..600).contains(code));
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        status.ok_or(Self::Status(code))
    }
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
        let mut http = Vec::with_capacity(published.http_routes.len());
        for route in published.http_routes {
            let name = route.name.clone();
            let route = Route::new(route, port, &mut cluster).map_err(|source| Invalid::Route {
                route: name,
                source: Box::new(source),
            })?;
            http.push(route);
        }
        let mut backends = |published: Vec<mesh::Backend>| {
            let backends = published.into_iter();
            let backends = backends.map(|one| Backend::new(one, &mut cluster));
            backends.collect::<Result<Vec<_>, _>>()
        };
        let tcp = backends(published.tcp_backends)?;
        let tls = published.tls_routes.into_iter();
        let tls = tls.map(|route| {
            let backends = backends(route.backends)?;
            Ok::<_, Invalid>(TlsRoute::new(route.name, route.sni_hosts, backends))
        });
        let tls = tls.collect::<Result<_, _>>()?;
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
            tls,
            hosts: Hosts::new(published.hosts),
        })
    }
}

impl Backend {
    fn new(
        published: mesh::Backend,
        cluster: &mut impl FnMut(&mesh::Backend) -> Arc<Cluster>,
    ) -> Result<Self, Invalid> {
        let target = if published.unavailable.is_empty() {
            Target::Cluster(cluster(&published))
        } else {
            Target::Unavailable(published.unavailable)
        };
        Ok(Self {
            weight: published.weight,
            target,
            headers: Operations::new(published.headers)?,
        })
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
pub fn find<'a>(routes: &'a [Route], request: &Request) -> Option<Found<'a>> {
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
