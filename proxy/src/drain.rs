//! The end of a proxy: new connections are still taken, those that are open are asked to close, and the last one
//! to end ends the process.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

    /// Begins, and waits until no connection is open or `limit` has passed; gives how many are left.
    pub async fn run(&self, limit: Duration) -> usize {
        self.begun.cancel();
        self.connections.close();
        // The tracker still takes connections when closed; it is done in a moment in which there is none.
        let _ = tokio::time::timeout(limit, self.connections.wait()).await;
        self.open()
    }
}
