//! Two replicas and a real proxy between a client and a server: what a killed replica leaves behind is taken over.

use std::sync::Mutex;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use outrigger_proxy::workers::Workers;

use super::sidecar::{Files, behind_tls, get, proxy, server};
use super::*;

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

fn led_to(address: SocketAddr) -> String {
    endpoints("a", &[address.ip().to_string()]).replace("port: 8080", &format!("port: {}", address.port()))
}

#[tokio::test]
async fn another_replica_takes_over_and_sends_nothing_again() {
    let files = Files::new();
    let objects = SERVICES.to_owned() + CURL + &led_to(server("one").await);
    let (first, second) = (Plane::with(&objects).await, Plane::with(&objects).await);
    let front = Front::towards(behind_tls(&first, &files).await).await;
    let bound = proxy(front.address, &files, &[A.parse().unwrap()]);
    let (entry, mesh) = (bound.outbound().unwrap()[0], bound.mesh());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(bound.run(shutdown.clone(), Workers::default()));
    mesh.ready().await;
    assert_eq!(get(entry, "a").await, "one");
    assert_eq!(first.count("outrigger_discovery_resources_total"), 3);

    front.kill(behind_tls(&second, &files).await);
    // Requests go on meanwhile, and the proxy finds the other replica.
    let mut requests = 0;
    while second.count("pilot_xds_pushes_total") < 3 {
        assert_eq!(get(entry, "a").await, "one");
        requests += 1;
    }
    assert!(requests > 0);
    assert_eq!(
        second.count("outrigger_discovery_resources_total"),
        0,
        "{}",
        second.metrics()
    );
    second.apply(&led_to(server("two").await)).await;
    while get(entry, "a").await != "two" {}
    assert_eq!(second.count("outrigger_discovery_resources_total"), 1);
    shutdown.cancel();
    running.await.unwrap();
}
