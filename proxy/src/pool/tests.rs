//! Connections and the threads that carry them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use http_body_util::BodyExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::*;
use crate::balance::{Ask, Cluster, Endpoints};
use crate::protocol::mesh;

/// Answers every request on each of its connections; gives how many it has taken.
fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, taken) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let count = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                let (mut request, mut byte) = (Vec::new(), [0]);
                while stream.read(&mut byte).unwrap_or(0) > 0 {
                    request.push(byte[0]);
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                            .unwrap();
                    }
                }
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
    (address, taken)
}

/// A thread with a runtime of its own, as a worker is.
fn thread_with_runtime() -> tokio::runtime::Handle {
    let runtime: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

/// One request from that thread, read to its end.
fn ask(on: &tokio::runtime::Handle, cluster: &Arc<Cluster>) {
    let (done, answered) = oneshot::channel();
    let cluster = cluster.clone();
    on.spawn(async move {
        let endpoint = cluster.pick(Ask::default()).await.unwrap();
        let request = http::Request::get("/").header("host", "a");
        let request = request.body(()).unwrap().into_parts().0.into();
        let response = send(&endpoint, &request, &mut Body::default(), false, None).await;
        let body = response.unwrap().body.collect().await.unwrap().to_bytes();
        // Until the connection is kept.
        endpoint.pool.gate.freed.notified().await;
        done.send(body).unwrap();
    });
    assert_eq!(answered.blocking_recv().unwrap(), "ok");
}

#[test]
fn each_thread_has_connections_of_its_own_unless_there_may_be_no_more() {
    for (most, expected) in [(0, 2), (1, 1)] {
        let (address, taken) = server();
        let endpoints = Endpoints::new("a");
        endpoints.update_addresses(&[address]);
        let policy = mesh::TrafficPolicy {
            connection_pool: Some(mesh::ConnectionPool {
                max_connections: most,
                ..Default::default()
            }),
            ..Default::default()
        };
        let backend = mesh::Backend {
            endpoints: "a".into(),
            policy: Some(policy),
            ..Default::default()
        };
        let cluster = Cluster::new(&backend, endpoints);
        let threads = [thread_with_runtime(), thread_with_runtime()];
        for thread in threads.iter().cycle().take(6) {
            ask(thread, &cluster);
        }
        assert_eq!(taken.load(Ordering::SeqCst), expected, "at most {most}");
    }
}
