//! The proxy from the outside: real sockets on free ports, a control plane that says what a test tells it to, and
//! one story a test. The rig is in `rig`, `control_plane`, `server` and `client`; the stories are in the others.

mod tests {
    mod client;
    mod control_plane;
    mod published;
    mod rig;
    mod server;

    mod access_log;
    mod actions;
    mod connections;
    mod corpus;
    mod destinations;
    mod discovery;
    mod drain;
    mod edges;
    mod failures;
    mod grpc_probes;
    mod hooks;
    mod http1;
    mod http2;
    mod interim;
    mod limits;
    mod mirrors;
    mod outliers;
    mod probes;
    mod quit;
    mod retries;
    mod routing;
    mod scrapes;
    mod tcp;
    mod timeouts;
    mod tls;
    mod upgrades;
}
