//! How a cluster's connections are made and how long they are kept: the rest of connectionPool, and tls. Belongs to `pool`.

use std::time::Duration;

use socket2::TcpKeepalive;

use super::CONNECT_TIMEOUT;
use super::tls::Tls;
use crate::protocol::mesh;

/// How long an idle HTTP/1.1 connection is kept unless a rule says otherwise: below the keep-alive of common servers
/// (5 s and more), so that it is this end that closes it and no request meets a connection that the server is just
/// closing.
const HTTP1_IDLE: Duration = Duration::from_secs(3);
/// How long a connection without streams is kept. The server announces when it closes one.
const HTTP2_IDLE: Duration = Duration::from_secs(60);
/// How many streams one connection is given, in number: what RFC 9113, section 6.5.2, has servers allow at least.
/// A stream beyond the server's limit would wait for another to end, and a watch never does.
const STREAMS: usize = 100;

/// Made ready once for a cluster.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(super) connect_timeout: Duration,
    pub(super) keepalive: Option<TcpKeepalive>,
    pub(super) tls: Option<Tls>,
    pub(super) http1_idle: Duration,
    pub(super) http2_idle: Duration,
    /// How long a connection of opaque bytes may be silent.
    pub(super) tcp_idle: Option<Duration>,
    /// How old a connection may become: HTTP finishes what is under way on it, opaque bytes are cut off.
    pub(super) longest: Option<Duration>,
    /// How many requests a connection is used for.
    pub(super) requests: Option<u32>,
    pub(super) streams: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(&mesh::TrafficPolicy::default())
    }
}

impl Settings {
    pub(crate) fn new(policy: &mesh::TrafficPolicy) -> Self {
        let pool = policy.connection_pool.unwrap_or_default();
        let milliseconds = |value: u32| (value > 0).then(|| Duration::from_millis(value.into()));
        let number = |value: u32| (value > 0).then_some(value);
        let http_idle = milliseconds(pool.http_idle_timeout_ms);
        let streams = usize::try_from(pool.max_concurrent_streams).unwrap_or(STREAMS);
        Self {
            connect_timeout: milliseconds(pool.connect_timeout_ms).unwrap_or(CONNECT_TIMEOUT),
            keepalive: keepalive(&pool),
            tls: policy.tls.as_ref().and_then(Tls::new),
            http1_idle: http_idle.unwrap_or(HTTP1_IDLE),
            http2_idle: http_idle.unwrap_or(HTTP2_IDLE),
            tcp_idle: milliseconds(pool.tcp_idle_timeout_ms),
            longest: milliseconds(pool.max_connection_duration_ms),
            requests: number(pool.max_requests_per_connection),
            streams: if streams == 0 {
                STREAMS
            } else {
                streams.min(STREAMS)
            },
        }
    }

    /// Whether connections are.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a connection of this age that had so many requests is given no other. The clock is read only where there
    /// is a limit.
    pub(super) fn is_spent(&self, age: impl FnOnce() -> Duration, requests: u32) -> bool {
        self.requests.is_some_and(|most| requests >= most)
            || self.longest.is_some_and(|longest| age() >= longest)
    }
}

fn keepalive(pool: &mesh::ConnectionPool) -> Option<TcpKeepalive> {
    let (probes, time, interval) = (
        pool.keepalive_probes,
        pool.keepalive_time_seconds,
        pool.keepalive_interval_seconds,
    );
    if (probes, time, interval) == (0, 0, 0) {
        return None;
    }
    let seconds = |value: u32| Duration::from_secs(value.into());
    let mut keepalive = TcpKeepalive::new();
    if time > 0 {
        keepalive = keepalive.with_time(seconds(time));
    }
    if interval > 0 {
        keepalive = keepalive.with_interval(seconds(interval));
    }
    if probes > 0 {
        keepalive = keepalive.with_retries(probes);
    }
    Some(keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pool: mesh::ConnectionPool) -> Settings {
        Settings::new(&mesh::TrafficPolicy {
            connection_pool: Some(pool),
            ..Default::default()
        })
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let default = Settings::default();
        assert_eq!(default.connect_timeout, Duration::from_secs(10));
        assert_eq!(default.streams, 100);
        assert!(default.keepalive.is_none() && default.tls.is_none());
        assert!(!default.is_spent(|| Duration::from_secs(1_000_000), u32::MAX));
    }

    #[test]
    fn what_is_said() {
        let said = settings(mesh::ConnectionPool {
            connect_timeout_ms: 30,
            keepalive_probes: 2,
            max_connection_duration_ms: 1_000,
            max_requests_per_connection: 3,
            max_concurrent_streams: 7,
            http_idle_timeout_ms: 9_000,
            ..Default::default()
        });
        assert_eq!(said.connect_timeout, Duration::from_millis(30));
        assert!(said.keepalive.is_some());
        assert_eq!(
            (said.streams, said.http1_idle.as_secs(), said.http2_idle.as_secs()),
            (7, 9, 9)
        );
        for (age, requests, expected) in [(0, 2, false), (0, 3, true), (999, 0, false), (1_000, 0, true)] {
            assert_eq!(
                said.is_spent(|| Duration::from_millis(age), requests),
                expected,
                "{age} {requests}"
            );
        }
    }
}
