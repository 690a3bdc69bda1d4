//! Requests as `curl` would send them, one connection each, and the hello servers that answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::{Request, StatusCode};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::probe::exchange;
use crate::serve::{Limits, serve_plain};

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers every path as the helloworld example does: with the version and the pod's name.
pub(super) async fn hello(
    listener: TcpListener,
    version: String,
    pod: String,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let answer = format!("Hello version: {version}, instance: {pod}\n");
    let router = Router::new().fallback(get(move || async move { answer }));
    serve_plain(listener, router, Limits::default(), shutdown).await
}

/// `GET http://HOST/PATH`, sent to `address`.
pub(super) async fn get_plain(
    address: SocketAddr,
    host: &str,
    path: &str,
) -> anyhow::Result<(StatusCode, String)> {
    let request = Request::get(path)
        .header("host", host)
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        exchange(stream, request).await
    };
    timeout(PATIENCE, exchange)
        .await
        .map_err(|_| anyhow!("no answer in {PATIENCE:?}"))?
}

/// `POST https://localhost/PATH` of a JSON body, sent to `address`, whose certificate `tls` has to trust.
pub(super) async fn post_tls(
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    path: &str,
    body: String,
) -> anyhow::Result<(StatusCode, String)> {
    let request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::from(address.ip());
        let stream = tokio_rustls::TlsConnector::from(tls)
            .connect(name, stream)
            .await
            .context("TLS")?;
        exchange(stream, request).await
    };
    timeout(PATIENCE, exchange)
        .await
        .map_err(|_| anyhow!("no answer in {PATIENCE:?}"))?
}
