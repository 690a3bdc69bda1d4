//! How long one request may take and how often it is tried: what the route says, and what the client asks for in
//! Envoy's and gRPC's headers. Before it: `forward`; after it: `tries`.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderName;

use crate::alarm::Alarm;
use crate::body::{Deadline, Progress};
use crate::message::Fields;
use crate::route::{Retries, Route};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The limits of one request.
#[derive(Debug)]
pub(super) struct Limits<'a> {
    /// From the request's end to the response's end.
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Cow<'a, Retries>,
    /// The request's; without one it ended with its head.
    request: Option<Arc<Progress>>,
}

impl<'a> Limits<'a> {
    /// The client's wishes are taken off: they are for the first proxy.
    pub(super) fn new(route: &'a Route, headers: &mut Fields, grpc: bool) -> Self {
        let mut limits = Self {
            timeout: route.timeout,
            retries: Cow::Borrowed(&route.retries),
            request: None,
        };
        if let Some(deadline) = grpc_timeout(headers, grpc) {
            limits.timeout = Some(limits.timeout.map_or(deadline, |timeout| timeout.min(deadline)));
        }
        limits.wishes(headers);
        limits
    }

    /// No limits and no retries, for the pod's own application and for mirrors.
    pub(super) fn none() -> Self {
        Self {
            timeout: None,
            retries: Cow::Owned(Retries::none()),
            request: None,
        }
    }

    /// <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter>
    fn wishes(&mut self, headers: &mut Fields) {
        let of_envoy = |name: &[u8]| {
            let prefix = name.get(.."x-envoy-".len());
            prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"x-envoy-"))
        };
        if !headers.iter().any(|(name, _)| of_envoy(name)) {
            return;
        }
        let mut take = |name: &'static str| {
            let value = headers.text(name).map(str::to_owned);
            headers.remove(name);
            value
        };
        let milliseconds = |value: String| value.parse().ok().map(Duration::from_millis);
        if let Some(wish) = take("x-envoy-upstream-rq-timeout-ms").and_then(milliseconds) {
            self.timeout = (!wish.is_zero()).then_some(wish);
        }
        if let Some(wish) = take("x-envoy-upstream-rq-per-try-timeout-ms").and_then(milliseconds) {
            self.retries.to_mut().per_try = (!wish.is_zero()).then_some(wish);
        }
        for name in ["x-envoy-retry-on", "x-envoy-retry-grpc-on"] {
            if let Some(words) = take(name) {
                self.retries.to_mut().also(words.split(','));
            }
        }
        if let Some(statuses) = take("x-envoy-retriable-status-codes") {
            self.retries.to_mut().also_statuses(statuses.split(','));
        }
        if let Some(names) = take("x-envoy-retriable-header-names") {
            self.retries.to_mut().also_headers(names.split(','));
        }
        if let Some(wish) = take("x-envoy-max-retries").and_then(|value| value.parse().ok()) {
            self.retries.to_mut().attempts = wish;
        }
    }

    /// Follows the request's body.
    pub(super) fn follow(&mut self, request: Arc<Progress>) {
        self.request = Some(request);
    }

    /// Whether it matters when the request ends.
    pub(super) fn count_from_the_end(&self) -> bool {
        self.timeout.is_some() || self.retries.per_try.is_some()
    }

    /// Waits so long from the request's end.
    pub(super) fn passed(&self, limit: Duration) -> Deadline {
        match self.request.clone() {
            None => Deadline::from(Alarm::after(limit)),
            Some(request) => Deadline::new(async move {
                request.over().await;
                Alarm::after(limit).await;
            }),
        }
    }
}

/// What the work gives, or `None` if the time has passed before.
pub(super) async fn within<T>(
    passed: &mut Option<Deadline>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        match passed {
            None => Poll::Pending,
            Some(passed) => passed.poll(context).map(|()| None),
        }
    })
    .await
}

/// gRPC's deadline (gRPC over HTTP/2, "Requests": eight digits at most and a unit). One that cannot be read is none.
fn grpc_timeout(headers: &Fields, grpc: bool) -> Option<Duration> {
    if !grpc {
        return None;
    }
    let text = headers.text(GRPC_TIMEOUT)?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_deadlines() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("100m", Some(Duration::from_millis(100))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("123456789m", None),
            ("m", None),
            ("", None),
            ("1", None),
            ("-1m", None),
            ("1ü", None),
        ] {
            let mut headers = Fields::default();
            headers.set(&GRPC_TIMEOUT, text);
            assert_eq!(grpc_timeout(&headers, false), None, "not gRPC: {text}");
            assert_eq!(grpc_timeout(&headers, true), expected, "{text}");
        }
    }
}
