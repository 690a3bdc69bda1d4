//! When a request is tried again, and how long to wait before. Used by `http::tries`, which never sends a request twice
//! of which something may have reached an application unless the words of this policy say so.

use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::Invalid;
use crate::message::Fields;
use crate::protocol::mesh;

/// Before the first retry, at most; Istio's and Envoy's default.
const BACKOFF: Duration = Duration::from_millis(25);
/// The backoff stops growing at so many times its base.
const BACKOFF_GROWTH: u32 = 10;
/// Istio's default.
const ATTEMPTS: u32 = 2;
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// A policy of retries.
#[derive(Debug, Clone)]
pub struct Retries {
    /// How many after the first try.
    pub attempts: u32,
    /// How long one try may take to answer.
    pub per_try: Option<Duration>,
    on: Vec<Condition>,
    /// For `retriable-status-codes`.
    statuses: Vec<StatusCode>,
    /// For `retriable-headers`: any of them.
    headers: Vec<HeaderName>,
    backoff: Duration,
    /// Whether endpoints that were tried are as good as others.
    pub same_endpoints: bool,
    /// Whether every second retry leaves the localities that were tried.
    pub remote_localities: bool,
}

/// What a policy can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    ServerError,
    GatewayError,
    Reset,
    ConnectFailure,
    RefusedStream,
    Retriable4xx,
    RetriableStatusCodes,
    RetriableHeaders,
    RateLimited,
    Grpc(u8),
}

/// How a try ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended<'a> {
    /// With a response.
    Answered(StatusCode, &'a Fields),
    /// No connection was made.
    NotConnected,
    /// The server says that it has not begun with the request.
    Refused,
    /// The connection or the stream broke.
    Reset,
    /// It took longer than a try may take.
    TimedOut,
}

impl Default for Retries {
    /// Without a policy: what cannot have reached an application, as in Istio's default policy. Its other words,
    /// gRPC's `unavailable` and `cancelled`, are an application's answers; who wants these tried again says so.
    fn default() -> Self {
        Self {
            attempts: ATTEMPTS,
            per_try: None,
            on: vec![Condition::ConnectFailure, Condition::RefusedStream],
            statuses: Vec::new(),
            headers: Vec::new(),
            backoff: BACKOFF,
            same_endpoints: false,
            remote_localities: false,
        }
    }
}

impl Retries {
    pub(super) fn new(published: mesh::Retries) -> Result<Self, Invalid> {
        let statuses = published.statuses.into_iter().map(Invalid::status);
        let mut retries = Self {
            attempts: published.attempts,
            per_try: milliseconds(published.per_try_timeout_ms),
            on: Vec::new(),
            statuses: statuses.collect::<Result<_, _>>()?,
            headers: Vec::new(),
            backoff: milliseconds(published.backoff_ms).unwrap_or(BACKOFF),
            same_endpoints: published.same_endpoints,
            remote_localities: published.remote_localities,
        };
        retries.also(published.on.iter().map(String::as_str));
        if published.on.is_empty() {
            retries.also(["connect-failure", "refused-stream", "unavailable", "cancelled"]);
        }
        Ok(retries)
    }

    /// A policy by which nothing is tried again.
    pub(crate) fn none() -> Self {
        Self {
            attempts: 0,
            ..Self::default()
        }
    }

    /// Adds conditions by Envoy's words. A word that nothing here can meet changes nothing.
    pub(crate) fn also<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.on
            .extend(words.into_iter().filter_map(|word| Condition::parse(word.trim())));
    }

    /// Adds statuses for `retriable-status-codes`. What is none changes nothing.
    pub(crate) fn also_statuses<'a>(&mut self, statuses: impl IntoIterator<Item = &'a str>) {
        self.statuses.extend(parsed::<StatusCode>(statuses));
    }

    /// Adds names of responses' headers for `retriable-headers`. What is none changes nothing.
    pub(crate) fn also_headers<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.headers.extend(parsed::<HeaderName>(names));
    }

    /// Whether a request that ended so is tried again.
    pub(crate) fn wants(&self, ended: Ended<'_>) -> bool {
        use Condition::{ConnectFailure, GatewayError, RefusedStream, Reset, ServerError};
        let on = |any: &[Condition]| self.on.iter().any(|condition| any.contains(condition));
        match ended {
            Ended::Answered(status, headers) => self.on.iter().any(|condition| match condition {
                Condition::RateLimited => headers.contains(RATE_LIMITED),
                other => other.meets(status, headers, self) && !headers.contains(RATE_LIMITED),
            }),
            // What a client would get without a retry is a 503 of ours: a gateway's error.
            Ended::NotConnected => on(&[ConnectFailure, Reset, ServerError, GatewayError]),
            Ended::Refused => on(&[RefusedStream, Reset, ServerError, GatewayError]),
            Ended::Reset | Ended::TimedOut => on(&[Reset, ServerError, GatewayError]),
        }
    }

    /// Whether a request may have to be sent again: then its body is kept.
    pub(crate) fn keeps_bodies(&self) -> bool {
        self.attempts > 0
    }

    /// How long to wait before a retry, counted from 1: up to twice as long as before the last, drawn at random so that
    /// many clients do not come back together.
    pub(crate) fn pause(&self, retry: u32, draw: u64) -> Duration {
        let growth = 1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        let at_most = self.backoff * growth.clamp(1, BACKOFF_GROWTH);
        let at_most = u64::try_from(at_most.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(draw % at_most)
    }
}

impl Condition {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "5xx" => Self::ServerError,
            "gateway-error" => Self::GatewayError,
            "reset" => Self::Reset,
            "connect-failure" => Self::ConnectFailure,
            "refused-stream" => Self::RefusedStream,
            "retriable-4xx" => Self::Retriable4xx,
            "retriable-status-codes" => Self::RetriableStatusCodes,
            "retriable-headers" => Self::RetriableHeaders,
            "envoy-ratelimited" => Self::RateLimited,
            "cancelled" => Self::Grpc(1),
            "deadline-exceeded" => Self::Grpc(4),
            "resource-exhausted" => Self::Grpc(8),
            "internal" => Self::Grpc(13),
            "unavailable" => Self::Grpc(14),
            // What never left is sent again whatever the policy, so "reset-before-request" has nothing to add.
            _ => return None,
        })
    }

    /// gRPC's status counts where it is in the headers: a response without messages.
    fn meets(self, status: StatusCode, headers: &Fields, policy: &Retries) -> bool {
        match self {
            Self::ServerError => status.is_server_error(),
            Self::GatewayError => matches!(status.as_u16(), 502..=504),
            Self::Retriable4xx => status == StatusCode::CONFLICT,
            Self::RetriableStatusCodes => policy.statuses.contains(&status),
            Self::RetriableHeaders => policy.headers.iter().any(|name| headers.contains(name)),
            Self::Grpc(code) => {
                let found = headers.text(GRPC_STATUS);
                found.and_then(|value| value.parse().ok()) == Some(code)
            }
            Self::Reset | Self::ConnectFailure | Self::RefusedStream | Self::RateLimited => false,
        }
    }
}

fn parsed<'a, T: FromStr>(texts: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = T> {
    texts.into_iter().filter_map(|text| text.trim().parse().ok())
}

/// `None` for 0, which stands for no limit.
pub(super) fn milliseconds(published: u32) -> Option<Duration> {
    (published > 0).then(|| Duration::from_millis(published.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(words: &[&str]) -> Retries {
        Retries::new(mesh::Retries {
            attempts: 1,
            on: words.iter().map(ToString::to_string).collect(),
            statuses: vec![429],
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn words() {
        let plain = Fields::default();
        let grpc = |status: &str| Fields::from_iter([(&GRPC_STATUS, status)]);
        let limited = Fields::from_iter([(&RATE_LIMITED, "true")]);
        let (unavailable, internal) = (grpc("14"), grpc("13"));
        let status = |status: u16| StatusCode::from_u16(status).unwrap();
        let answered = |code: u16| Ended::Answered(status(code), &plain);
        for (words, ended, expected) in [
            (["5xx"].as_slice(), answered(500), true),
            (&["5xx"], answered(404), false),
            (&["5xx"], Ended::Reset, true),
            (&["5xx"], Ended::TimedOut, true),
            (&["5xx"], Ended::NotConnected, true),
            (&["gateway-error"], answered(503), true),
            (&["gateway-error"], answered(500), false),
            (&["gateway-error"], Ended::TimedOut, true),
            (&["reset"], Ended::Reset, true),
            (&["reset"], Ended::NotConnected, true),
            (&["reset"], answered(503), false),
            (&["connect-failure"], Ended::NotConnected, true),
            (&["connect-failure"], Ended::Reset, false),
            (&["refused-stream"], Ended::Refused, true),
            (&["refused-stream"], Ended::Reset, false),
            (&["retriable-4xx"], answered(409), true),
            (&["retriable-4xx"], answered(404), false),
            (&["retriable-status-codes"], answered(429), true),
            (&["retriable-status-codes"], answered(503), false),
            (&["unavailable"], Ended::Answered(status(200), &unavailable), true),
            (&["unavailable"], Ended::Answered(status(200), &internal), false),
            (&["internal"], Ended::Answered(status(200), &internal), true),
            (&["5xx"], Ended::Answered(status(503), &limited), false),
            (
                &["envoy-ratelimited"],
                Ended::Answered(status(429), &limited),
                true,
            ),
            (&["reset-before-request", "nonsense"], Ended::Reset, false),
            (&[], Ended::Answered(status(200), &unavailable), true),
            (&[], Ended::NotConnected, true),
            (&[], answered(503), false),
        ] {
            assert_eq!(on(words).wants(ended), expected, "{words:?} {ended:?}");
        }
        let default = Retries::default();
        assert!(default.wants(Ended::NotConnected) && default.wants(Ended::Refused));
        assert!(!default.wants(Ended::Answered(status(200), &unavailable)) && !default.wants(Ended::Reset));
    }

    #[test]
    fn what_a_client_adds() {
        let plain = Fields::default();
        let marked = Fields::from_iter([(&HeaderName::from_static("x-busy"), "1")]);
        let status = |status: u16| StatusCode::from_u16(status).unwrap();
        for (words, statuses, names, ended, expected) in [
            ("retriable-status-codes", "404, 418", "", (418, &plain), true),
            ("retriable-status-codes", "404,418", "", (429, &plain), true),
            ("retriable-status-codes", "x,99,1000,418", "", (418, &plain), true),
            ("retriable-status-codes", "404", "", (500, &plain), false),
            ("5xx", "418", "", (418, &plain), false),
            ("retriable-headers", "", "X-Other, X-Busy", (200, &marked), true),
            ("retriable-headers", "", "x other,X-Busy", (200, &marked), true),
            ("retriable-headers", "", "x-busy", (200, &plain), false),
            ("retriable-headers", "200", "", (200, &marked), false),
            ("5xx", "", "x-busy", (200, &marked), false),
        ] {
            let mut retries = on(&[words]);
            retries.also_statuses(statuses.split(','));
            retries.also_headers(names.split(','));
            let wants = retries.wants(Ended::Answered(status(ended.0), ended.1));
            assert_eq!(wants, expected, "{words} {statuses} {names} {}", ended.0);
        }
    }

    #[test]
    fn pauses_grow_to_ten_times_the_base() {
        let retries = on(&[]);
        for (retry, at_most) in [(1, 25), (2, 50), (4, 200), (5, 250), (40, 250)] {
            let longest = Duration::from_millis(at_most) - Duration::from_micros(1);
            let micros = u64::try_from(longest.as_micros()).unwrap();
            assert_eq!(retries.pause(retry, micros), longest, "{retry}");
            assert!(retries.pause(retry, micros + 1).is_zero(), "{retry}");
        }
    }
}
