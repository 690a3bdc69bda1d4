//! Two replicas and a real proxy between a client and a server: what a killed replica leaves behind is taken over.

use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use outrigger_certs::{Authority, Request as CertificateRequest, ServingCertificate};
use outrigger_proxy::app;
use outrigger_proxy::config::{Config, Listener};
use outrigger_proxy::discovery::ControlPlane;
use outrigger_proxy::http::AccessLog;
use outrigger_proxy::listen::OriginalDestination;
use outrigger_proxy::probe::Probes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::serve::{Limits, serve};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The control plane's Service: leads to one replica, and cuts every connection when that is killed.
struct Front {
    address: SocketAddr,
    replica: Arc<Mutex<SocketAddr>>,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Front {
    async fn towards(replica: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            replica: Arc::new(Mutex::new(replica)),
            connections: Arc::default(),
        };
        let (replica, connections) = (front.replica.clone(), front.connections.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = *replica.lock().unwrap();
                connections.lock().unwrap().spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(to).await {
                        // However it ends, it has ended.
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        front
    }

    fn kill(&self, next: SocketAddr) {
        *self.replica.lock().unwrap() = next;
        self.connections.lock().unwrap().abort_all();
    }
}

/// A replica behind TLS, as it is deployed.
async fn behind_tls(plane: &Plane, authority: &Authority) -> SocketAddr {
    let names = CertificateRequest {
        dns_names: Vec::new(),
        ips: vec!["127.0.0.1".parse().unwrap()],
    };
    let serving = Arc::new(ServingCertificate::default());
    serving
        .replace(authority.issue(&names, DAY, SystemTime::now()).unwrap())
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

fn proxy(front: &Front, files: &Path) -> app::Bound {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config {
        control_plane: ControlPlane {
            address: front.address.to_string(),
            ca_file: files.join("ca.pem"),
            token_file: files.join("token"),
            node: "default/curl".into(),
        },
        outbound: vec![Listener {
            address: any,
            original: OriginalDestination::Fixed(A.parse().unwrap()),
        }],
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
async fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", axum::routing::get(move || std::future::ready(name)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn get(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    body.to_owned()
}

fn led_to(address: SocketAddr) -> String {
    endpoints("a", &[address.ip().to_string()]).replace("port: 8080", &format!("port: {}", address.port()))
}

fn count(plane: &Plane, metric: &str) -> u64 {
    let text = plane.metrics();
    let lines = text.lines().filter(|line| line.starts_with(metric));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum()
}

#[tokio::test]
async fn another_replica_takes_over_and_sends_nothing_again() {
    let authority = Authority::generate("test", DAY, SystemTime::now()).unwrap();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("ca.pem"), authority.certificate_pem()).unwrap();
    std::fs::write(files.path().join("token"), "token-of-curl").unwrap();
    let objects = SERVICES.to_owned() + CURL + &led_to(server("one").await);
    let (first, second) = (Plane::with(&objects).await, Plane::with(&objects).await);
    let front = Front::towards(behind_tls(&first, &authority).await).await;
    let bound = proxy(&front, files.path());
    let (entry, mesh) = (bound.outbound().unwrap()[0], bound.mesh());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(bound.run(shutdown.clone()));
    mesh.ready().await;
    assert_eq!(get(entry).await, "one");
    assert_eq!(count(&first, "outrigger_discovery_resources_total"), 3);

    front.kill(behind_tls(&second, &authority).await);
    // Requests go on meanwhile, and the proxy finds the other replica.
    let mut requests = 0;
    while count(&second, "pilot_xds_pushes_total") < 3 {
        assert_eq!(get(entry).await, "one");
        requests += 1;
    }
    assert!(requests > 0);
    assert_eq!(
        count(&second, "outrigger_discovery_resources_total"),
        0,
        "{}",
        second.metrics()
    );
    second.apply(&led_to(server("two").await)).await;
    while get(entry).await != "two" {}
    assert_eq!(count(&second, "outrigger_discovery_resources_total"), 1);
    shutdown.cancel();
    running.await.unwrap();
}
