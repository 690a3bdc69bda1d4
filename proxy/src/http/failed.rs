//! Why a request has no response, for the client and the access log. Belongs to `tries`; answered by `onward`.

use std::net::SocketAddr;

use http::StatusCode;

use super::TIMEOUT;
use super::access::Flag;
use super::tries::To;
use crate::route::Ended;

/// Why there is no response.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) status: StatusCode,
    pub(super) why: String,
    pub(super) flag: Flag,
    /// Whether something of the request may have reached an application.
    pub(super) delivered: bool,
}

impl Failed {
    pub(super) fn nowhere(to: To<'_>) -> Self {
        let why = match to {
            To::Cluster(cluster, _) => format!("{} has no ready endpoint", cluster.name()),
            To::Application(endpoint) => format!("nothing is at {}", endpoint.address),
        };
        Self::unread(Flag::NoHealthyUpstream, why)
    }

    pub(super) fn not_connected(why: String) -> Self {
        Self::unread(Flag::UpstreamConnectionFailure, why)
    }

    pub(super) fn refused(why: String) -> Self {
        Self::unread(Flag::UpstreamRemoteReset, why)
    }

    pub(super) fn overflow(why: String) -> Self {
        Self::unread(Flag::UpstreamOverflow, why)
    }

    pub(super) fn broken(why: String) -> Self {
        Self {
            delivered: true,
            ..Self::unread(Flag::UpstreamConnectionTermination, why)
        }
    }

    /// The server breaks the protocol.
    pub(super) fn malformed(why: String) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            delivered: true,
            ..Self::unread(Flag::UpstreamProtocolError, why)
        }
    }

    pub(super) fn by_client(why: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            delivered: true,
            ..Self::unread(Flag::DownstreamProtocolError, why)
        }
    }

    /// The time of the route, or of a try, has passed.
    pub(super) fn too_late() -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            delivered: true,
            ..Self::unread(Flag::UpstreamTimeout, TIMEOUT.to_owned())
        }
    }

    fn unread(flag: Flag, why: String) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            why,
            flag,
            delivered: false,
        }
    }

    /// What it is to a policy of retries.
    pub(super) fn ended(&self) -> Ended<'static> {
        match self.flag {
            Flag::UpstreamConnectionFailure => Ended::NotConnected,
            Flag::UpstreamRemoteReset => Ended::Refused,
            Flag::UpstreamTimeout => Ended::TimedOut,
            _ => Ended::Reset,
        }
    }

    /// The same with where it happened, after so many tries.
    pub(super) fn at(self, to: To<'_>, address: SocketAddr, tries: u32) -> Self {
        let last = &self.why;
        let why = match (to, self.flag) {
            (_, Flag::UpstreamTimeout) => return self,
            (To::Application(_), Flag::UpstreamConnectionFailure) => {
                format!("the application does not answer at {address}: {last}")
            }
            (To::Cluster(cluster, _), Flag::UpstreamConnectionFailure) => format!(
                "no endpoint of {} can be reached; {tries} tried, the last: {address}: {last}",
                cluster.name()
            ),
            _ => format!("{address}: {last}"),
        };
        Self { why, ..self }
    }
}
