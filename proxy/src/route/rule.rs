//! One rule of a service, made ready: its matches, where it leads, and what it does on the way. Belongs to `route`;
//! carried out by `http::forward`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::cors::Cors;
use super::fault::{Fault, Share};
use super::matcher::Asked;
use super::operations::Operations;
use super::redirect::Redirect;
use super::retries::{Retries, milliseconds};
use super::rewrite::Rewrite;
use super::{Backend, Invalid, Match};
use crate::balance::Cluster;
use crate::message::Request;
use crate::protocol::mesh;
use crate::protocol::mesh::http_route::Instead as Published;

/// One rule of a service.
#[derive(Debug)]
pub struct Route {
    /// Where the rule is from, for logs.
    pub name: String,
    pub(super) matches: Vec<Match>,
    /// The weighted choices; empty only if there is something else to do instead.
    pub backends: Vec<Backend>,
    /// What is done instead of forwarding.
    pub instead: Option<Instead>,
    /// What becomes of the path and the authority.
    pub rewrite: Option<Rewrite>,
    /// What is done to headers.
    pub headers: Operations,
    /// From the request's end to the response's end.
    pub timeout: Option<Duration>,
    /// When a request is tried again.
    pub retries: Retries,
    /// What goes wrong on purpose.
    pub fault: Option<Fault>,
    /// Who gets copies of requests.
    pub mirrors: Vec<Mirror>,
    /// What browsers may ask from elsewhere.
    pub cors: Option<Cors>,
}

/// An answer that the proxy gives itself.
#[derive(Debug)]
pub enum Instead {
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The rule has the answer.
    Response(StatusCode, Bytes),
}

/// Who gets a copy of some requests; nobody waits for its answers.
#[derive(Debug)]
pub struct Mirror {
    /// Where the copies go.
    pub backend: Backend,
    pub(crate) share: Share,
}

impl Route {
    /// Whether requests, or copies of them, or responses are not sent on as they came.
    pub(crate) fn changes(&self) -> bool {
        self.rewrite.is_some() || !self.mirrors.is_empty() || !self.headers.are_empty()
    }

    /// Why a request is not meant: of each match the first condition that does not hold, and what the request has instead,
    /// as in `uri prefix "/v2": the path is "/hello"`. Empty if it is meant.
    pub fn unmet(&self, request: &Request) -> Vec<String> {
        let asked = Asked::new(request);
        let unmet: Option<Vec<_>> = self.matches.iter().map(|one| one.unmet(&asked)).collect();
        unmet.unwrap_or_default()
    }

    pub(super) fn new(
        published: mesh::HttpRoute,
        service_port: u16,
        cluster: &mut impl FnMut(&mesh::Backend) -> Arc<Cluster>,
    ) -> Result<Self, Invalid> {
        let matches = published.matches.into_iter().map(Match::new);
        let instead = match published.instead {
            None => None,
            Some(Published::Redirect(redirect)) => {
                Some(Instead::Redirect(Redirect::new(redirect, service_port)?))
            }
            Some(Published::DirectResponse(response)) => Some(Instead::Response(
                Invalid::status(response.status)?,
                response.body.into(),
            )),
        };
        let backends = published.backends.into_iter();
        let backends = backends
            .map(|one| Backend::new(one, cluster))
            .collect::<Result<Vec<_>, _>>()?;
        if backends.is_empty() && instead.is_none() {
            return Err(Invalid::NoBackends("the route".into()));
        }
        let mirrors = published
            .mirrors
            .into_iter()
            .filter_map(|mirror| Some((mirror.backend?, mirror.millionths)));
        let mirrors = mirrors.map(|(backend, millionths)| {
            Ok::<_, Invalid>(Mirror {
                backend: Backend::new(backend, cluster)?,
                share: Share(millionths),
            })
        });
        Ok(Self {
            mirrors: mirrors.collect::<Result<_, _>>()?,
            matches: matches.collect::<Result<_, _>>()?,
            backends,
            instead,
            rewrite: published.rewrite.map(Rewrite::new).transpose()?,
            headers: Operations::new(published.headers)?,
            timeout: milliseconds(published.timeout_ms),
            retries: published
                .retries
                .map(Retries::new)
                .transpose()?
                .unwrap_or_default(),
            fault: published.fault.map(Fault::new).transpose()?,
            cors: published.cors.map(Cors::new).transpose()?,
            name: published.name,
        })
    }
}
