//! What a route does to some of its requests on purpose. Used by `http::forward` before anything is sent.

use std::time::Duration;

use http::StatusCode;

use super::Invalid;
use crate::protocol::mesh;

/// A delay, an end, or both, each for a share of the requests.
#[derive(Debug)]
pub struct Fault {
    delay: Share,
    /// How long a delayed request waits.
    pub delay_for: Duration,
    abort: Share,
    /// What an aborted request gets.
    pub abort_with: Abort,
}

/// How a request ends that is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// With a status of HTTP.
    Http(StatusCode),
    /// With a status of gRPC.
    Grpc(u32),
}

/// A share in millionths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share(pub(super) u32);

impl Share {
    /// Whether this one is meant; `draw` is any number, uniformly drawn.
    pub(crate) fn has(self, draw: u64) -> bool {
        draw % 1_000_000 < u64::from(self.0)
    }
}

impl Fault {
    pub(super) fn new(published: mesh::Fault) -> Result<Self, Invalid> {
        let abort_with = match published.abort_grpc_status_plus_one {
            0 if published.abort_millionths == 0 => Abort::Http(StatusCode::OK),
            0 => Abort::Http(Invalid::status(published.abort_status)?),
            more => Abort::Grpc(more - 1),
        };
        Ok(Self {
            delay: Share(published.delay_millionths),
            delay_for: Duration::from_millis(published.delay_ms.into()),
            abort: Share(published.abort_millionths),
            abort_with,
        })
    }

    /// Whether a request is delayed.
    pub(crate) fn delays(&self, draw: u64) -> bool {
        !self.delay_for.is_zero() && self.delay.has(draw)
    }

    /// Whether a request is aborted, after its delay.
    pub(crate) fn aborts(&self, draw: u64) -> bool {
        self.abort.has(draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (millionths, draw, expected) in [
            (0, 0, false),
            (1_000_000, 999_999, true),
            (1_000_000, u64::MAX, true),
            (500_000, 499_999, true),
            (500_000, 500_000, false),
            (1, 1_000_000, true),
        ] {
            assert_eq!(Share(millionths).has(draw), expected, "{millionths} {draw}");
        }
    }

    #[test]
    fn an_abort_needs_a_status() {
        let fault = |abort_status, abort_grpc_status_plus_one| {
            Fault::new(mesh::Fault {
                abort_millionths: 1,
                abort_status,
                abort_grpc_status_plus_one,
                ..Default::default()
            })
        };
        assert_eq!(
            fault(503, 0).unwrap().abort_with,
            Abort::Http(StatusCode::SERVICE_UNAVAILABLE)
        );
        assert_eq!(fault(0, 15).unwrap().abort_with, Abort::Grpc(14));
        assert!(fault(0, 0).is_err());
        assert!(Fault::new(mesh::Fault::default()).is_ok());
    }
}
