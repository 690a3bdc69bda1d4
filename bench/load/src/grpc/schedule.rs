//! When each call is to begin: a thread that sleeps as exactly as the kernel can, as a runtime's timer counts in milliseconds.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// The moments at which calls are to begin, each told as it comes.
pub(crate) fn begin(rate: u32, time: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let (began, between) = (Instant::now(), Duration::from_secs(1) / rate);
        for number in 0.. {
            let due = began + between * number;
            if due - began >= time {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                break;
            }
        }
    });
    receiver
}
