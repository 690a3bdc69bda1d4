//! `outrigger probe`: a GET for images that have no curl, used by `helm test`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What is shown of an answer, in bytes.
const LARGEST_ANSWER: usize = 64 << 10;

/// What to ask, and whom to trust.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// http:// or https:// and a host, a port and a path
    url: Uri,
    /// For https: the certificates that the server's must be signed by, in PEM
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// How long to wait, in seconds
    #[arg(long, default_value_t = 10)]
    timeout: u64,
}

/// Sends the request and gives the body of the answer.
///
/// # Errors
/// That there is no answer in time, or one with another status than 200.
pub async fn probe(args: ProbeArgs) -> anyhow::Result<String> {
    let (url, patience) = (args.url.clone(), Duration::from_secs(args.timeout));
    let (status, body) = tokio::time::timeout(patience, get(args))
        .await
        .map_err(|_| anyhow!("{url}: no answer in {patience:?}"))?
        .with_context(|| url.to_string())?;
    ensure!(status == StatusCode::OK, "{url}: {status}: {}", body.trim_end());
    Ok(body)
}

async fn get(args: ProbeArgs) -> anyhow::Result<(StatusCode, String)> {
    let authority = args.url.authority().context("the URL has no host")?;
    let (host, scheme) = (authority.host(), args.url.scheme_str().unwrap_or("http"));
    let port = authority
        .port_u16()
        .unwrap_or(if scheme == "https" { 443 } else { 80 });
    let path = args.url.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::get(path)
        .header("host", authority.as_str())
        .body(Empty::<Bytes>::new())?;
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    match (scheme, args.ca_file) {
        ("http", _) => exchange(stream, request).await,
        ("https", Some(file)) => {
            let bundle = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let tls = Arc::new(outrigger_certs::client_config(&bundle)?);
            let name = ServerName::try_from(host.to_owned())?;
            exchange(
                tokio_rustls::TlsConnector::from(tls)
                    .connect(name, stream)
                    .await?,
                request,
            )
            .await
        }
        ("https", None) => bail!("https needs --ca-file"),
        (other, _) => bail!("the scheme is {other:?}; it must be http or https"),
    }
}

/// One request on one connection.
///
/// # Errors
/// What broke the connection, or that the answer is too large.
pub(crate) async fn exchange<S, B>(
    stream: S,
    request: http::Request<B>,
) -> anyhow::Result<(StatusCode, String)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER)
        .collect()
        .await
        .map_err(|error| anyhow!(error))?;
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}
