//! Clients that behave and clients that do not.

use std::time::SystemTime;

use axum::routing::get;
use http::{StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use outrigger_certs::{
    Authority, Request as CertificateRequest, ServingCertificate, client_config, server_config,
};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

const NAME: &str = "localhost";
const SHORT: Duration = Duration::from_millis(100);

struct Running {
    address: SocketAddr,
    client: ClientConfig,
    authority: CertificateDer<'static>,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    /// Told when a request to /wait has arrived.
    arrived: Arc<Notify>,
    /// Lets it answer.
    release: Arc<Notify>,
}

async fn start(limits: Limits, secure: bool) -> Running {
    let now = SystemTime::now();
    let authority = Authority::generate("test-ca", Duration::from_secs(3600), now).unwrap();
    let request = CertificateRequest {
        dns_names: vec![NAME.to_owned()],
        ips: Vec::new(),
    };
    let certificate = Arc::new(ServingCertificate::default());
    certificate
        .replace(authority.issue(&request, Duration::from_secs(60), now).unwrap())
        .unwrap();

    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, released) = (arrived.clone(), release.clone());
    let wait = || async move {
        told.notify_one();
        released.notified().await;
        "waited"
    };
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
    let router = Router::new().route("/", get(peer)).route("/wait", get(wait));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = if secure {
        let tls = Arc::new(server_config(certificate).unwrap());
        tokio::spawn(serve(listener, tls, router, limits, shutdown.clone()))
    } else {
        tokio::spawn(serve_plain(listener, router, limits, shutdown.clone()))
    };
    let client = client_config(authority.certificate_pem()).unwrap();
    let authority = authority.certificate().clone();
    Running {
        address,
        client,
        authority,
        shutdown,
        task,
        arrived,
        release,
    }
}

impl Running {
    async fn tls(&self, alpn: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.client.clone();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from(NAME).unwrap(), stream)
            .await
    }

    async fn get(&self, version: Version, path: &str) -> hyper::Result<(StatusCode, Bytes)> {
        let request = Request::get(format!("https://{NAME}{path}"))
            .header("host", NAME)
            .body(Empty::<Bytes>::new());
        let request = request.unwrap();
        let response = if version == Version::HTTP_2 {
            let io = TokioIo::new(self.tls(&[b"h2"]).await.unwrap());
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        } else {
            let io = TokioIo::new(self.tls(&[b"http/1.1"]).await.unwrap());
            let (mut sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        };
        assert_eq!(response.version(), version);
        Ok((
            response.status(),
            response.into_body().collect().await?.to_bytes(),
        ))
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn both_versions_of_http_are_answered() {
    let running = start(Limits::default(), true).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(
            running.get(version, "/").await.unwrap(),
            (StatusCode::OK, "127.0.0.1".into())
        );
    }
    let both = running.tls(&[b"http/1.1", b"h2"]).await.unwrap();
    assert_eq!(
        both.get_ref().1.alpn_protocol(),
        Some(&b"h2"[..]),
        "h2 is preferred"
    );
    drop(both);
    running.stop().await;
}

#[tokio::test]
async fn without_tls_the_path_is_the_same() {
    let running = start(Limits::default(), false).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("127.0.0.1"),
        "{answer}"
    );
    running.stop().await;
}

#[tokio::test]
async fn slow_clients_are_cut() {
    let limits = Limits {
        handshake: SHORT,
        header: SHORT,
        ..Limits::default()
    };
    let secure = start(limits.clone(), true).await;
    let plain = start(limits, false).await;
    let mut read = Vec::new();

    let mut silent = TcpStream::connect(secure.address).await.unwrap();
    assert_eq!(silent.read_to_end(&mut read).await.unwrap(), 0, "no handshake");

    for start_of_header in ["", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut slow = TcpStream::connect(plain.address).await.unwrap();
        slow.write_all(start_of_header.as_bytes()).await.unwrap();
        slow.read_to_end(&mut read).await.unwrap();
        assert!(
            !String::from_utf8_lossy(&read).contains("200 OK"),
            "{start_of_header:?}"
        );
    }

    for start_of_preface in ["", "PRI * HTTP/2.0\r\n"] {
        let mut slow = secure.tls(&[b"h2"]).await.unwrap();
        slow.write_all(start_of_preface.as_bytes()).await.unwrap();
        // Whether TLS is closed properly does not matter here, only that it is closed.
        let _ = slow.read_to_end(&mut read).await;
        assert!(slow.write_all(b"x").await.is_err() || slow.read(&mut [0]).await.map_or(true, |n| n == 0));
    }
    secure.stop().await;
    plain.stop().await;
}

#[tokio::test]
async fn large_headers_are_refused() {
    let running = start(
        Limits {
            header_bytes: 8192,
            ..Limits::default()
        },
        false,
    )
    .await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let header = format!("GET / HTTP/1.1\r\nhost: x\r\nlarge: {}\r\n\r\n", "x".repeat(9000));
    stream.write_all(header.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
    running.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_at_shutdown() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let running = start(Limits::default(), true).await;
        let (shutdown, arrived, release) = (
            running.shutdown.clone(),
            running.arrived.clone(),
            running.release.clone(),
        );
        let stop = async {
            arrived.notified().await;
            shutdown.cancel();
            // The listener is closed before the drain begins.
            while TcpStream::connect(running.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
            release.notify_one();
        };
        let (answer, ()) = tokio::join!(running.get(version, "/wait"), stop);
        assert_eq!(answer.unwrap(), (StatusCode::OK, "waited".into()), "{version:?}");
        running.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_drain_has_an_end() {
    let running = start(
        Limits {
            drain: SHORT,
            ..Limits::default()
        },
        true,
    )
    .await;
    let shutdown = running.shutdown.clone();
    let stop = async {
        running.arrived.notified().await;
        shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(running.get(Version::HTTP_2, "/wait"), stop);
    assert!(answer.is_err(), "cut");
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn clients_over_the_limit_wait_for_a_slot() {
    let running = start(
        Limits {
            connections: 1,
            ..Limits::default()
        },
        false,
    )
    .await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(request).await.unwrap();
    first.read_exact(&mut [0; 12]).await.unwrap();

    let mut second = TcpStream::connect(running.address).await.unwrap();
    second.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    assert!(
        tokio::time::timeout(SHORT, second.read_exact(&mut answer))
            .await
            .is_err(),
        "no slot yet"
    );
    drop(first);
    second.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    running.stop().await;
}

#[tokio::test]
async fn tls_1_1_is_refused_and_1_2_is_not() {
    let mut running = start(Limits::default(), true).await;
    let mut hello = vec![0x03, 0x02]; // TLS 1.1
    hello.extend([7; 32]); // random
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]); // no session, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]); // signature_algorithms: ecdsa_secp256r1_sha256
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x01, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).await.unwrap();
    assert_eq!(
        (alert.first(), alert.last()),
        (Some(&0x15), Some(&70)),
        "alert protocol_version: {alert:?}"
    );

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(running.authority.clone()).unwrap();
    let older = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    running.client = older;
    assert_eq!(running.get(Version::HTTP_2, "/").await.unwrap().0, StatusCode::OK);
    running.stop().await;
}
