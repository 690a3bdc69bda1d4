//! Other pods' applications: HTTP servers made of one function, and ports where a test plays the server itself.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::client::{Body, full};

/// A server in both versions of HTTP that answers every request with what `answer` gives.
pub(crate) async fn http<A, F>(answer: A) -> SocketAddr
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    http2(answer, 16 << 10).await
}

/// The same, with a limit for the headers of HTTP/2, in bytes.
pub(crate) async fn http2<A, F>(answer: A, headers: u32) -> SocketAddr
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let (listener, address) = port().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone(), headers));
        }
    });
    address
}

async fn serve<S, A, F>(stream: S, answer: A, headers: u32)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answered = answer(request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http2().max_header_list_size(headers);
    // How a connection ends is the business of the other side.
    let _ = server
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

/// The same over TLS, with a certificate that nobody has signed; `alpn` are the protocols that it offers.
pub(crate) async fn https<A, F>(alpn: &[&str], answer: A) -> SocketAddr
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let key = rcgen::generate_simple_self_signed(["somebody.else".into()]).unwrap();
    https_as(key, alpn, answer).await
}

/// The same with this certificate.
pub(crate) async fn https_as<A, F>(
    key: rcgen::CertifiedKey<rcgen::KeyPair>,
    alpn: &[&str],
    answer: A,
) -> SocketAddr
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let rcgen::CertifiedKey { cert, signing_key } = key;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into(),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = port().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, answer, 16 << 10).await;
                }
            });
        }
    });
    address
}

/// A server that answers with its name.
pub(crate) async fn named(name: &'static str) -> SocketAddr {
    http(move |_| async move { Response::new(full(name)) }).await
}

/// A port to accept at by hand.
pub(crate) async fn port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port at which nobody listens. It stays bound, so that nobody else gets it.
pub(crate) fn dead() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Reads until `end` has come, and not a byte more; gives all that was read.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(error) => panic!("{error} after {:?}", Bytes::from(read)),
        }
    }
    String::from_utf8(read).unwrap()
}

/// A client that has said this to a proxy, and the server that has read its head.
pub(crate) async fn asked(proxy: SocketAddr, listener: &TcpListener, sent: &str) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(proxy).await.unwrap();
    client.write_all(sent.as_bytes()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    read_until(&mut server, "\r\n\r\n").await;
    (client, server)
}

pub(crate) async fn says(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}
