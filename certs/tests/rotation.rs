//! A server on loopback whose authority is replaced while clients arrive without a pause: not one handshake may fail.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use outrigger_certs::{
    Keyring, Policy, Request, ServingCertificate, certificates, client_config, server_config,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const HOUR: Duration = Duration::from_secs(60 * 60);
const NAME: &str = "outrigger.outrigger-system.svc";
const CLIENTS: usize = 4;
const HANDSHAKES_PER_HOUR: usize = 4;
const HANDSHAKES_PER_BUNDLE: usize = 6;

/// The time of the test, which passes in jumps.
#[derive(Debug)]
struct Clock(AtomicU64);

impl Clock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(SeqCst))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            self.0.load(SeqCst),
        )))
    }
}

/// A client that handshakes in a loop, fetches the bundle only every so often, like a proxy whose volume is refreshed, and
/// returns the certificates that it was served.
async fn client(
    address: SocketAddr,
    bundles: watch::Receiver<String>,
    clock: Arc<Clock>,
    handshakes: watch::Sender<usize>,
    stop: Arc<AtomicBool>,
) -> HashSet<CertificateDer<'static>> {
    let mut served = HashSet::new();
    let mut bundle = String::new();
    while !stop.load(SeqCst) {
        if handshakes.borrow().is_multiple_of(HANDSHAKES_PER_BUNDLE) {
            bundle = bundles.borrow().clone();
        }
        let mut config = client_config(&bundle).unwrap();
        config.time_provider = clock.clone();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("the handshake");
        served.insert(stream.get_ref().1.peer_certificates().unwrap()[0].clone());
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the server says goodbye");
        handshakes.send_modify(|count| *count += 1);
    }
    served
}

async fn server(listener: TcpListener, certificate: Arc<ServingCertificate>) {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate).unwrap()));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.expect("the handshake");
        stream.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_one_handshake_fails_while_everything_is_rotated() {
    let policy = Policy {
        name: "test-ca".to_owned(),
        lifetime: 40 * HOUR,
        overlap: 4 * HOUR,
    };
    let clock = Arc::new(Clock(AtomicU64::new(1_800_000_000)));
    let request = Request {
        dns_names: vec![NAME.to_owned()],
        ips: Vec::new(),
    };
    let certificate = Arc::new(ServingCertificate::default());
    let mut keyring = Keyring::generate(&policy, clock.now()).unwrap();
    let bundles = watch::Sender::new(keyring.bundle());
    let first = keyring.signer().certificate().clone();
    let mut issuer_of = HashMap::new();
    let mut issue = |keyring: &Keyring| {
        let identity = keyring.signer().issue(&request, 3 * HOUR, clock.now()).unwrap();
        issuer_of.insert(identity.chain[0].clone(), identity.issuer.clone());
        certificate.replace(identity).unwrap();
    };
    issue(&keyring);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(server(listener, certificate.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let (mut counters, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let (handshakes, counter) = watch::channel(0);
        counters.push(counter);
        clients.push(tokio::spawn(client(
            address,
            bundles.subscribe(),
            clock.clone(),
            handshakes,
            stop.clone(),
        )));
    }

    for hour in 1..=48 {
        // The next hour begins when every client has seen this one.
        for counter in &mut counters {
            counter
                .wait_for(|count| *count >= hour * HANDSHAKES_PER_HOUR)
                .await
                .expect("no client fails");
        }
        clock.0.fetch_add(HOUR.as_secs(), SeqCst);
        if let Some(advanced) = keyring.advance(clock.now(), &policy).unwrap() {
            keyring = advanced;
            bundles.send_replace(keyring.bundle());
        }
        issue(&keyring);
    }
    stop.store(true, SeqCst);

    let mut served = HashSet::new();
    for client in clients {
        served.extend(client.await.expect("no client fails"));
    }
    assert!(!server.is_finished(), "the server serves on");
    server.abort();
    let issuers: HashSet<_> = issuer_of.values().collect();
    let seen: HashSet<_> = served.iter().map(|leaf| &issuer_of[leaf]).collect();
    assert_eq!(issuers.len(), 3, "two rotations");
    assert_eq!(seen, issuers, "every authority was seen signing");
    let trusted = certificates(&keyring.bundle()).unwrap();
    assert!(
        !trusted.contains(&first),
        "the first one has expired and is trusted no more"
    );
}
