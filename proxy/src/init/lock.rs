//! One `init` at a time in a network namespace: between reading the rules and replacing them no other may run.
//! Held around `backend`.

use std::fs::{File, TryLockError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

/// The network namespace itself: it is there with a read-only root file system, and no other pod has the same.
const NAMESPACE: &str = "/proc/self/ns/net";

const POLL: Duration = Duration::from_millis(20);
const WAIT: Duration = Duration::from_secs(20);

/// Waits for the lock, which is held until the file is dropped.
pub(super) async fn acquire() -> anyhow::Result<File> {
    let file = File::open(NAMESPACE).with_context(|| format!("opening {NAMESPACE} to lock it"))?;
    let deadline = Instant::now() + WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {NAMESPACE}"));
            }
            // Not the blocking call: a thread in it could not be given up.
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL).await,
            Err(TryLockError::WouldBlock) => bail!(
                "another process has held the lock on {NAMESPACE} for {} s: is a second `outrigger-proxy init` running in this pod?",
                WAIT.as_secs()
            ),
        }
    }
}
