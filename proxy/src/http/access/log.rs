//! Where the access log's lines go: one thread writes them, so that a slow reader of them slows no request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::oneshot;

/// Lines that may wait to be written. More are dropped, and their number is logged.
const WAITING: usize = 4096;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Istio's default format.
    Text,
    /// An object with Istio's names.
    Json,
}

/// An access log, or none. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    format: Format,
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Flush(oneshot::Sender<()>),
}

impl AccessLog {
    /// By its name: `off`, `text` or `json`, to standard output.
    ///
    /// # Errors
    /// Another name, or the thread cannot be started.
    pub fn parse(name: &str) -> anyhow::Result<Self> {
        match name {
            "off" | "" => Ok(Self::default()),
            "text" => Ok(Self::to(Format::Text, io::stdout())?),
            "json" => Ok(Self::to(Format::Json, io::stdout())?),
            other => anyhow::bail!("{other:?} is none of off, text and json"),
        }
    }

    /// To any writer.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn to(format: Format, writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, receiver) = sync_channel(WAITING);
        let dropped = Arc::<AtomicU64>::default();
        let counted = dropped.clone();
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&receiver, writer, &counted))?;
        Ok(Self(Some(Arc::new(Open {
            format,
            lines,
            dropped,
        }))))
    }

    /// Waits until what was logged so far is written.
    pub async fn flush(&self) {
        let Some(open) = self.0.clone() else {
            return;
        };
        let (done, written) = oneshot::channel();
        // Both fail only if the thread is gone, and with it the lines.
        let sent = tokio::task::spawn_blocking(move || open.lines.send(Message::Flush(done)));
        if matches!(sent.await, Ok(Ok(()))) {
            let _ = written.await;
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn format(&self) -> Format {
        self.0.as_ref().map_or(Format::Text, |open| open.format)
    }

    pub(super) fn write(&self, line: String) {
        if let Some(open) = &self.0
            && open.lines.try_send(Message::Line(line)).is_err()
        {
            open.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Until the last clone of the log is gone.
fn write_all(messages: &Receiver<Message>, mut writer: impl Write, dropped: &AtomicU64) {
    for message in messages {
        let written = match message {
            Message::Line(line) => writer.write_all(line.as_bytes()),
            Message::Flush(done) => {
                let flushed = writer.flush();
                let _ = done.send(());
                flushed
            }
        };
        if let Err(error) = written {
            tracing::warn!(%error, "a line of the access log cannot be written");
        }
        let dropped = dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "the access log is read too slowly; lines are missing");
        }
    }
}
