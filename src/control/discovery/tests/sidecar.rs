//! A real proxy, beside the pod `curl`, and a control plane behind TLS for it.

use std::time::SystemTime;

use outrigger_certs::{Authority, Request as CertificateRequest, ServingCertificate};
use outrigger_proxy::app;
use outrigger_proxy::config::{Config, Listener};
use outrigger_proxy::discovery::ControlPlane;
use outrigger_proxy::http::AccessLog;
use outrigger_proxy::listen::OriginalDestination;
use outrigger_proxy::probe::Probes;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::serve::{Limits, serve};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a pod has of the control plane: whom to trust, and who it is.
pub(super) struct Files {
    authority: Authority,
    directory: TempDir,
}

impl Files {
    pub(super) fn new() -> Self {
        let authority = Authority::generate("test", DAY, SystemTime::now()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), authority.certificate_pem()).unwrap();
        std::fs::write(directory.path().join("token"), "token-of-curl").unwrap();
        Self { authority, directory }
    }
}

/// A replica behind TLS, as it is deployed.
pub(super) async fn behind_tls(plane: &Plane, files: &Files) -> SocketAddr {
    let names = CertificateRequest {
        dns_names: Vec::new(),
        ips: vec!["127.0.0.1".parse().unwrap()],
    };
    let serving = Arc::new(ServingCertificate::default());
    serving
        .replace(files.authority.issue(&names, DAY, SystemTime::now()).unwrap())
        .unwrap();
    let tls = Arc::new(outrigger_certs::server_config(serving).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = plane.router.clone();
    tokio::spawn(serve(
        listener,
        tls,
        router,
        Limits::default(),
        plane.shutdown.clone(),
    ));
    address
}

/// A proxy beside the pod curl, with a listener for each address that it dials.
pub(super) fn proxy(control_plane: SocketAddr, files: &Files, dialled: &[SocketAddr]) -> app::Bound {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = |dialled: &SocketAddr| Listener {
        address: any,
        original: OriginalDestination::Fixed(*dialled),
    };
    let config = Config {
        control_plane: ControlPlane {
            address: control_plane.to_string(),
            ca_file: files.directory.path().join("ca.pem"),
            token_file: files.directory.path().join("token"),
            node: "default/curl".into(),
        },
        outbound: dialled.iter().map(listener).collect(),
        inbound: Vec::new(),
        admin: any,
        metrics: any,
        readiness: any,
        drain: Duration::ZERO,
        application: any.ip(),
        probes: Probes::default(),
        app_metrics: None,
        access_log: AccessLog::default(),
        classic: false,
    };
    app::build(config).unwrap()
}

/// A server that answers every request with its name.
pub(super) async fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", axum::routing::get(move || std::future::ready(name)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The body that a request by this host gets, or its status if that is not 200.
pub(super) async fn get(address: SocketAddr, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    match head.split(' ').nth(1) {
        Some("200") => body.to_owned(),
        status => status.unwrap_or_default().to_owned(),
    }
}
