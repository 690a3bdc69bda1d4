//! The threads that carry connections. Each has a runtime of its own, so that what a request wakes is on the same thread
//! and nothing is handed across. Before it on the path: `listen`; after it: `outbound` or `inbound`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{self, Handle};

use crate::drain::Drain;
use crate::listen::Connection;

/// A sidecar needs no more, even where it may use more processors; Istio's default.
const MOST: usize = 2;

/// The thread that accepts, and others beside it. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Workers {
    /// Connections that the accepting thread carries itself.
    here: Arc<AtomicUsize>,
    others: Arc<[Worker]>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    open: Arc<AtomicUsize>,
}

/// Counts a connection on its thread for as long as it lives.
#[derive(Debug)]
struct Open(Arc<AtomicUsize>);

impl Workers {
    /// As many threads as this process may use processors (by its affinity and its cgroup's quota), two at most; the one
    /// that calls is the first of them. The others end with the process.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::of(processors.min(MOST))
    }

    fn of(threads: usize) -> io::Result<Self> {
        let others = (1..threads).map(|_| Worker::start());
        Ok(Self {
            here: Arc::default(),
            others: others.collect::<io::Result<_>>()?,
        })
    }

    /// Runs a connection to its end on the thread that has the fewest; the drain counts it.
    pub(crate) fn carry<F>(
        &self,
        connection: Connection,
        drain: &Drain,
        carry: impl FnOnce(Connection) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let load = |open: &AtomicUsize| open.load(Ordering::Relaxed);
        let idlest = self.others.iter().min_by_key(|worker| load(&worker.open));
        let Some(worker) = idlest.filter(|worker| load(&worker.open) < load(&self.here)) else {
            let open = Open::new(&self.here);
            let carried = carry(connection);
            return drain.spawn(async move {
                let _open = open;
                carried.await;
            });
        };
        let open = Open::new(&worker.open);
        let carried = async move {
            let _open = open;
            match connection.registered_here() {
                Ok(connection) => carry(connection).await,
                Err(error) => tracing::warn!(%error, "connection lost on its way to a thread"),
            }
        };
        drain.spawn_on(carried, &worker.runtime);
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(Self {
            runtime: handle,
            open: Arc::default(),
        })
    }
}

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn connections_go_to_the_thread_that_has_the_fewest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (workers, drain) = (Workers::of(2).unwrap(), Drain::default());
        let (carried, mut threads) = mpsc::unbounded_channel();
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let (stream, peer) = listener.accept().await.unwrap();
            let connection = Connection {
                destination: stream.local_addr().unwrap(),
                stream,
                peer,
                identity: None,
            };
            let carried = carried.clone();
            workers.carry(connection, &drain, move |mut connection| async move {
                let mut bytes = [0; 2];
                connection.stream.read_exact(&mut bytes).await.unwrap();
                connection.stream.write_all(&bytes).await.unwrap();
                carried.send(thread::current().id()).unwrap();
            });
        }
        assert_eq!(drain.open(), 6);
        let mut on = BTreeMap::<String, usize>::new();
        for client in &mut clients {
            client.write_all(b"hi").await.unwrap();
            client.read_exact(&mut [0; 2]).await.unwrap();
            *on.entry(format!("{:?}", threads.recv().await)).or_default() += 1;
        }
        assert_eq!(on.into_values().collect::<Vec<_>>(), [3, 3]);
    }
}
