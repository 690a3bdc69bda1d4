//! The access log: what became of each request, in one line with Istio's fields. Filled in by `http` on a request's
//! way, written by `access::log` when its response has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{HeaderName, USER_AGENT};
use http::request::Parts;
use http::{Response, StatusCode};
use tokio::time::Instant;

use super::{Downstream, Upstream, X_REQUEST_ID};
use crate::body::{self, Body, Progress};
use crate::route::{Found, authority};

mod counted;
mod log;
mod text;

pub use log::{AccessLog, Format};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Istio's response flags, by Envoy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    /// UH
    NoHealthyUpstream,
    /// UF
    UpstreamConnectionFailure,
    /// UO
    UpstreamOverflow,
    /// NR
    NoRouteFound,
    /// NC
    NoClusterFound,
    /// URX
    UpstreamRetryLimitExceeded,
    /// UT
    UpstreamTimeout,
    /// DC
    DownstreamConnectionTermination,
    /// DPE
    DownstreamProtocolError,
    /// DI
    DelayInjected,
    /// FI
    FaultInjected,
    /// UC
    UpstreamConnectionTermination,
    /// UR
    UpstreamRemoteReset,
    /// UPE
    UpstreamProtocolError,
}

/// What is known of one request so far. It holds nothing, and costs nothing, without an access log. Dropped, it is
/// written.
#[derive(Debug)]
pub(super) struct Record(Option<Box<Entry>>);

#[derive(Debug)]
struct Entry {
    log: AccessLog,
    /// By the wall clock, for the reader.
    start: SystemTime,
    begun: Instant,
    method: String,
    path: String,
    protocol: String,
    authority: String,
    user_agent: String,
    request_id: String,
    forwarded_for: String,
    downstream: SocketAddr,
    destination: SocketAddr,
    route: String,
    cluster: String,
    upstream: Option<SocketAddr>,
    flags: Vec<Flag>,
    details: &'static str,
    failure: String,
    status: Option<StatusCode>,
    service_time: Option<Duration>,
    received: Option<Arc<Progress>>,
    sent: u64,
    complete: bool,
}

impl Record {
    pub(super) fn begin(request: &Parts, upstream: &Upstream, downstream: &Downstream) -> Self {
        if !downstream.log.is_on() {
            return Self(None);
        }
        let header = |name: HeaderName| {
            let value = request.headers.get(name).map(|value| value.as_bytes());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let (route, cluster) = match upstream {
            Upstream::Mesh(_) => (String::new(), String::new()),
            Upstream::Local(endpoint) => ("default".into(), format!("inbound|{}||", endpoint.address.port())),
        };
        Self(Some(Box::new(Entry {
            log: downstream.log.clone(),
            start: SystemTime::now(),
            begun: Instant::now(),
            method: request.method.to_string(),
            path: request
                .uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            protocol: format!("{:?}", request.version),
            authority: String::from_utf8_lossy(authority(request)).into_owned(),
            user_agent: header(USER_AGENT),
            request_id: header(X_REQUEST_ID),
            forwarded_for: header(X_FORWARDED_FOR),
            downstream: downstream.peer,
            destination: downstream.destination,
            route,
            cluster,
            upstream: None,
            flags: Vec::new(),
            details: "",
            failure: String::new(),
            status: None,
            service_time: None,
            received: None,
            sent: 0,
            complete: false,
        })))
    }

    /// Of what is nobody's request, such as a mirror's.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Whether anybody reads it.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// By its name, and that of the match where it has one.
    pub(super) fn route(&mut self, found: &Found<'_>) {
        let of_match = found.by.map_or("", |by| by.name.as_str());
        let dot = if of_match.is_empty() { "" } else { "." };
        self.with(|entry| entry.route = format!("{}{dot}{of_match}", found.route.name));
    }

    pub(super) fn cluster(&mut self, name: &str) {
        self.with(|entry| name.clone_into(&mut entry.cluster));
    }

    pub(super) fn request_id(&mut self, id: &str) {
        self.with(|entry| id.clone_into(&mut entry.request_id));
    }

    pub(super) fn upstream(&mut self, address: SocketAddr) {
        self.with(|entry| entry.upstream = Some(address));
    }

    /// What came of it, besides others.
    pub(super) fn flag(&mut self, flag: Flag) {
        self.with(|entry| {
            if !entry.flags.contains(&flag) {
                entry.flags.push(flag);
            }
        });
    }

    /// Who made the response, in Envoy's words.
    pub(super) fn details(&mut self, details: &'static str) {
        self.with(|entry| entry.details = details);
    }

    /// Why the upstream gave no response.
    pub(super) fn failure(&mut self, why: &str) {
        self.with(|entry| why.clone_into(&mut entry.failure));
    }

    pub(super) fn service_time(&mut self, took: Duration) {
        self.with(|entry| entry.service_time = Some(took));
    }

    /// Follows the request's body.
    pub(super) fn received(&mut self, progress: Arc<Progress>) {
        self.with(|entry| entry.received = Some(progress));
    }

    /// All that there was to say has been said.
    pub(super) fn complete(&mut self) {
        self.with(|entry| entry.complete = true);
    }

    /// The response, with which the record ends.
    pub(super) fn attach(mut self, response: Response<Body>) -> Response<Body> {
        if !self.is_on() {
            return response;
        }
        self.with(|entry| {
            entry.status = Some(response.status());
            // Nobody asks for the body of such a response.
            entry.complete = entry.method == "HEAD";
        });
        response.map(|body| counted::counted(body, self))
    }

    fn sent(&mut self, bytes: usize) {
        self.with(|entry| entry.sent += bytes as u64);
    }

    fn broken(&mut self, error: &body::Error) {
        self.flag(match error {
            body::Error::Deadline => Flag::UpstreamTimeout,
            _ => Flag::UpstreamConnectionTermination,
        });
        self.complete();
    }

    fn with(&mut self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.0 {
            change(entry);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.complete {
            self.flags.push(Flag::DownstreamConnectionTermination);
        }
        let line = text::line(self, self.log.format());
        self.log.write(line);
    }
}
