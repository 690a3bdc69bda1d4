//! Connections of a client, byte for byte: one request each, or one that is not HTTP. Used by `row` and `experiments`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it is written.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

/// A response, or what there was of one.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) took: Duration,
}

impl Response {
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }
}

/// The values of a header; names have no case.
pub(super) fn values<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let named = headers.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

/// The first line and the headers of a message.
pub(super) fn head(text: &str) -> (&str, Vec<(String, String)>) {
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    (first, headers.collect())
}

pub(super) async fn request(address: SocketAddr, request: &Request) -> Response {
    let begun = Instant::now();
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "connection: close\r\n\r\n";
    let read = exchange(address, text.as_bytes(), false).await;
    let read = String::from_utf8_lossy(&read);
    let (top, body) = read.split_once("\r\n\r\n").unwrap_or((&read, ""));
    let (status, headers) = head(top);
    let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
    Response {
        status: status.unwrap_or_default(),
        headers,
        body: body.to_owned(),
        took: begun.elapsed(),
    }
}

/// Writes all of it, and reads until the other side has ended; `ends` says whether this side ends first.
pub(super) async fn exchange(address: SocketAddr, bytes: &[u8], ends: bool) -> Vec<u8> {
    let exchange = async {
        let mut read = Vec::new();
        let mut stream = TcpStream::connect(address).await.expect("the proxy's port");
        // A connection that is closed at once may be so while this is written; what matters is what is read.
        let _ = stream.write_all(bytes).await;
        if ends {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut read).await;
        read
    };
    let shown = String::from_utf8_lossy(bytes);
    timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| panic!("no end of {shown}"))
}

/// The first bytes of TLS, with the name of the server.
pub(super) fn hello(config: &Arc<rustls::ClientConfig>, server_name: &str) -> Vec<u8> {
    let name = ServerName::try_from(server_name.to_owned()).expect("a server's name");
    let mut client = rustls::ClientConnection::new(config.clone(), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("written");
    bytes
}
