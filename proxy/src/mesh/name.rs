//! What a published service is called: the address that a client dialled, or a host that it named.

use std::fmt;
use std::net::SocketAddr;

/// The name of a Service resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// "ADDRESS:PORT".
    Address(SocketAddr),
    /// "HOST:PORT", or "*:PORT" for all that is known by name alone.
    Host(String),
}

impl Name {
    /// The name as it is on the wire.
    pub fn parse(name: &str) -> Self {
        name.parse()
            .map_or_else(|_| Self::Host(name.to_owned()), Self::Address)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Host(host) => formatter.write_str(host),
        }
    }
}
