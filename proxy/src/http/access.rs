//! The access log: what became of each request and of each opaque connection, in one line with Istio's fields. Filled in
//! by `http` and `tcp` on the way, written by `access::log` when the response or the connection has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{HeaderName, USER_AGENT};
use tokio::time::Instant;

use super::{Downstream, Upstream, X_REQUEST_ID};
use crate::body::{self, Progress};
use crate::message::{Request, Response};
use crate::route::{Found, authority};

mod counted;
mod log;
mod metered;
mod text;

pub use log::{AccessLog, Format};

pub(crate) use metered::{Meter, Metered};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Istio's response flags, by Envoy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
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

/// What is known of one request or connection so far. It holds nothing, and costs nothing, without an access log. Dropped,
/// it is written.
#[derive(Debug)]
pub(crate) struct Record(Option<Box<Entry>>);

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
    /// Of an opaque connection.
    meter: Option<Arc<Meter>>,
    server_name: String,
    complete: bool,
}

impl Record {
    pub(super) fn begin(request: &Request, upstream: &Upstream, downstream: &Downstream) -> Self {
        if !downstream.log.is_on() {
            return Self(None);
        }
        let header = |name: HeaderName| {
            let value = request.headers.get(name);
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let mut record = Self::of(upstream, downstream);
        record.with(|entry| {
            entry.method = request.method.to_string();
            let path = request.uri.path_and_query();
            entry.path = path.map(ToString::to_string).unwrap_or_default();
            entry.protocol = format!("{:?}", request.version);
            entry.authority = String::from_utf8_lossy(authority(request)).into_owned();
            entry.user_agent = header(USER_AGENT);
            entry.request_id = header(X_REQUEST_ID);
            entry.forwarded_for = header(X_FORWARDED_FOR);
        });
        record
    }

    /// Of a request whose head could not be read: nothing is known of it but what it got.
    pub(super) fn unread(
        upstream: &Upstream,
        downstream: &Downstream,
        status: StatusCode,
        details: &'static str,
    ) {
        Self::of(upstream, downstream).with(|entry| {
            "HTTP/1.1".clone_into(&mut entry.protocol);
            entry.status = Some(status);
            entry.flags.push(Flag::DownstreamProtocolError);
            entry.details = details;
            entry.complete = true;
        });
    }

    fn of(upstream: &Upstream, downstream: &Downstream) -> Self {
        let mut record = Self::connection(&downstream.log, downstream.peer, downstream.destination);
        if let Upstream::Local(endpoint) = upstream {
            record.application(endpoint.address);
        }
        record
    }

    /// It goes to the pod's own application; in Istio's words.
    pub(crate) fn application(&mut self, address: SocketAddr) {
        self.with(|entry| {
            "default".clone_into(&mut entry.route);
            entry.cluster = format!("inbound|{}||", address.port());
        });
    }

    /// Of an opaque connection that came from `peer` and was to go to `destination`.
    pub(crate) fn connection(log: &AccessLog, peer: SocketAddr, destination: SocketAddr) -> Self {
        if !log.is_on() {
            return Self(None);
        }
        Self(Some(Box::new(Entry {
            log: log.clone(),
            start: SystemTime::now(),
            begun: Instant::now(),
            method: String::new(),
            path: String::new(),
            protocol: String::new(),
            authority: String::new(),
            user_agent: String::new(),
            request_id: String::new(),
            forwarded_for: String::new(),
            downstream: peer,
            destination,
            route: String::new(),
            cluster: String::new(),
            upstream: None,
            flags: Vec::new(),
            details: "",
            failure: String::new(),
            status: None,
            service_time: None,
            received: None,
            sent: 0,
            meter: None,
            server_name: String::new(),
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

    pub(crate) fn cluster(&mut self, name: &str) {
        self.with(|entry| name.clone_into(&mut entry.cluster));
    }

    pub(super) fn request_id(&mut self, id: &str) {
        self.with(|entry| id.clone_into(&mut entry.request_id));
    }

    pub(crate) fn upstream(&mut self, address: SocketAddr) {
        self.with(|entry| entry.upstream = Some(address));
    }

    /// What came of it, besides others.
    pub(crate) fn flag(&mut self, flag: Flag) {
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

    /// The server that TLS asks for.
    pub(crate) fn server_name(&mut self, name: &str) {
        self.with(|entry| name.clone_into(&mut entry.server_name));
    }

    /// Counts what is carried of a connection, if anybody wants to know.
    pub(crate) fn meter(&mut self) -> Option<Arc<Meter>> {
        let entry = self.0.as_mut()?;
        Some(entry.meter.get_or_insert_default().clone())
    }

    /// Follows the request's body.
    pub(super) fn received(&mut self, progress: Arc<Progress>) {
        self.with(|entry| entry.received = Some(progress));
    }

    /// All that there was to say has been said.
    pub(super) fn complete(&mut self) {
        self.with(|entry| entry.complete = true);
    }

    /// The connection is over.
    pub(crate) fn ended(&mut self, ended: &Result<(), impl std::fmt::Display>) {
        if let (true, Err(error)) = (self.is_on(), ended) {
            self.failure(&error.to_string());
        }
        self.complete();
    }

    /// The response, with which the record ends.
    pub(super) fn attach(mut self, mut response: Response) -> Response {
        if !self.is_on() {
            return response;
        }
        self.with(|entry| {
            entry.status = Some(response.status);
            // Nobody asks for the body of such a response.
            entry.complete = entry.method == "HEAD";
        });
        response.body = counted::counted(response.body, self);
        response
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

impl Entry {
    fn bytes_received(&self) -> u64 {
        let request = self.received.as_ref().map_or(0, |received| received.bytes());
        request + self.meter.as_ref().map_or(0, |meter| meter.received())
    }

    fn bytes_sent(&self) -> u64 {
        self.sent + self.meter.as_ref().map_or(0, |meter| meter.sent())
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
