//! What is spoken on a port, as Istio finds it: appProtocol, else the part of the port's name before the first dash.
//! See "Protocol Selection" in Istio's documentation.

use outrigger_proxy::protocol::mesh::Protocol;

use crate::control::world::ServicePort;

/// Protocols in which the server speaks first, on their well-known ports: looking at the client's first bytes would wait for ever.
const SERVER_FIRST: [u16; 4] = [25, 53, 3306, 27017];

/// What is declared for a service's port.
pub(super) fn of(port: &ServicePort) -> Protocol {
    let declared = match &port.app_protocol {
        Some(app_protocol) => named(app_protocol),
        None => named(port.name.split('-').next().unwrap_or_default()),
    };
    match declared {
        Protocol::Unspecified if SERVER_FIRST.contains(&port.port) => Protocol::Tcp,
        declared => declared,
    }
}

/// Whether a port is declared to carry TLS that the client begins, so that its SNI names the host.
pub(super) fn is_tls(port: &ServicePort) -> bool {
    let declared = port.app_protocol.as_deref().unwrap_or(&port.name);
    let declared = declared.to_ascii_lowercase();
    let first = declared.split('-').next().unwrap_or_default();
    matches!(first, "https" | "tls") || declared == "kubernetes.io/wss"
}

/// Whether connections may begin with a TLS ClientHello: TLS is declared, or nothing is.
pub(super) fn may_be_tls(port: &ServicePort) -> bool {
    is_tls(port) || of(port) == Protocol::Unspecified
}

fn named(name: &str) -> Protocol {
    match name.to_ascii_lowercase().as_str() {
        "http" | "http1" | "http2" | "grpc" | "grpc-web" | "kubernetes.io/h2c" | "kubernetes.io/ws" => {
            Protocol::Http
        }
        "tcp" | "tls" | "https" | "mongo" | "redis" | "mysql" | "kubernetes.io/wss" => Protocol::Tcp,
        // Istio takes "http-anything" as an appProtocol too.
        other => match other.split_once('-') {
            Some((prefix, _)) => named(prefix),
            None => Protocol::Unspecified,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_protocols() {
        use Protocol::{Http, Tcp, Unspecified};
        for (name, app_protocol, port, expected) in [
            ("http", None, 80, Http),
            ("http-web", None, 80, Http),
            ("HTTP2-web", None, 80, Http),
            ("grpc", None, 9000, Http),
            ("grpc-web", None, 9000, Http),
            ("grpc-web-ui", None, 9000, Http),
            ("https", None, 443, Tcp),
            ("https-web", None, 443, Tcp),
            ("tcp-db", None, 5432, Tcp),
            ("mongo", None, 1, Tcp),
            ("redis-cache", None, 1, Tcp),
            ("tls", None, 1, Tcp),
            ("httpx", None, 80, Unspecified),
            ("web", None, 80, Unspecified),
            ("", None, 80, Unspecified),
            ("curlport", None, 15001, Unspecified),
            ("", None, 3306, Tcp),
            ("db", None, 27017, Tcp),
            ("http", None, 3306, Http),
            ("tcp", Some("http"), 80, Http),
            ("http", Some("tcp"), 80, Tcp),
            ("http", Some("example.com/mine"), 80, Unspecified),
            ("x", Some("kubernetes.io/h2c"), 80, Http),
            ("x", Some("kubernetes.io/ws"), 80, Http),
            ("x", Some("kubernetes.io/wss"), 80, Tcp),
            ("x", Some("GRPC"), 80, Http),
        ] {
            let port = ServicePort {
                name: name.to_owned(),
                port,
                app_protocol: app_protocol.map(str::to_owned),
            };
            assert_eq!(of(&port), expected, "{port:?}");
        }
    }
}
