//! The end of a proxy: new connections are still taken, those that are open are asked to close, and the last one
//! to end ends the process. A classic sidecar waits for its `application` first.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod application;

/// Shared by every connection.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    begun: CancellationToken,
    connections: TaskTracker,
}

impl Drain {
    /// Runs a connection to its end, counted until then.
    pub fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        self.connections.spawn(connection);
    }

    /// The same in another runtime.
    pub(crate) fn spawn_on(&self, connection: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        self.connections.spawn_on(connection, runtime);
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.connections.len()
    }

    /// Whether the proxy is on its way out.
    pub fn begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Ends once the drain began `ago` ago.
    pub async fn begun_since(&self, ago: Duration) {
        self.begun.cancelled().await;
        tokio::time::sleep(ago).await;
    }

    /// Begins, and waits until `application` has ended and then no connection is open.
    ///
    /// # Errors
    /// `limit` passed before; how many connections are open.
    pub async fn run(&self, limit: Duration, application: impl Future<Output = ()>) -> Result<(), usize> {
        self.begun.cancel();
        self.connections.close();
        let end = async {
            application.await;
            // The tracker still takes connections when closed; it is done in a moment in which there is none.
            self.connections.wait().await;
        };
        tokio::time::timeout(limit, end).await.map_err(|_| self.open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    const LIMIT: Duration = Duration::from_secs(25);

    /// How many seconds a drain takes and how it ends, if the application goes on for some seconds and so does each
    /// connection.
    async fn drained(application: u64, connections: &[u64]) -> (u64, Result<(), usize>) {
        let begun = Instant::now();
        let drain = Drain::default();
        for seconds in connections {
            drain.spawn(sleep(Duration::from_secs(*seconds)));
        }
        let end = drain.run(LIMIT, sleep(Duration::from_secs(application))).await;
        assert!(drain.begun());
        (begun.elapsed().as_secs(), end)
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_application_and_the_last_connection() {
        assert_eq!(drained(0, &[]).await, (0, Ok(())));
        assert_eq!(drained(0, &[3, 7]).await, (7, Ok(())));
        assert_eq!(drained(9, &[3, 7]).await, (9, Ok(())));
        assert_eq!(drained(9, &[3, 12]).await, (12, Ok(())));
        assert_eq!(drained(0, &[3, 60]).await, (25, Err(1)));
        assert_eq!(drained(60, &[3]).await, (25, Err(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_taken_while_the_application_is_there() {
        let begun = Instant::now();
        let drain = Drain::default();
        let late = drain.clone();
        let application = async move {
            sleep(Duration::from_secs(9)).await;
            late.spawn(sleep(Duration::from_secs(4)));
        };
        assert_eq!(drain.run(LIMIT, application).await, Ok(()));
        assert_eq!(begun.elapsed(), Duration::from_secs(13));
    }
}
