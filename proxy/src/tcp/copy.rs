//! Bytes carried between two streams. Belongs to `tcp`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::scratch;

/// One of the two ways.
#[derive(Debug, Default)]
struct Way {
    /// What has been read, and could not be written yet.
    left: Bytes,
    /// Whether something has been written that may not have left.
    unflushed: bool,
    at: At,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Bytes,
    /// There are no more to read.
    End,
    Over,
}

/// Carries bytes both ways until both have ended; the end of one is told to the other side. A silent connection holds no
/// memory, since what is read is handed on before anything else is read in this thread.
///
/// # Errors
/// What breaks either way.
pub(crate) async fn copy(
    mut one: impl AsyncRead + AsyncWrite + Unpin,
    mut other: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let (mut there, mut back) = (Way::default(), Way::default());
    poll_fn(|context| {
        let there = there.poll(&mut one, &mut other, context)?;
        let back = back.poll(&mut other, &mut one, context)?;
        match there.is_ready() && back.is_ready() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    })
    .await
}

impl Way {
    /// Carries what there is. Ready when it has ended.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.left.is_empty() {
                let written = ready!(write(to, context, &self.left))?;
                self.left.advance(written);
                continue;
            }
            match self.at {
                At::Bytes => {
                    match scratch::poll_pass(from, context, |bytes, context| self.pass(bytes, to, context))? {
                        Poll::Ready(passed) => passed?,
                        Poll::Pending if self.unflushed => {
                            ready!(Pin::new(to).poll_flush(context))?;
                            self.unflushed = false;
                            return Poll::Pending;
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
                At::End => {
                    ready!(Pin::new(&mut *to).poll_shutdown(context))?;
                    self.at = At::Over;
                }
                At::Over => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Takes what has been read, and writes as much of it as goes at once.
    fn pass(
        &mut self,
        bytes: &[u8],
        to: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> io::Result<()> {
        if bytes.is_empty() {
            self.at = At::End;
            return Ok(());
        }
        self.unflushed = true;
        let written = match write(to, context, bytes)? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        self.left = Bytes::copy_from_slice(&bytes[written..]);
        Ok(())
    }
}

/// Writes some of it.
fn write(
    to: &mut (impl AsyncWrite + Unpin),
    context: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(context, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

    use super::*;

    /// Through pipes that take little at a time, and a reader on each side that is in no hurry.
    #[tokio::test]
    async fn all_arrives_both_ways_however_little_is_taken() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        let (client, one) = duplex(7_000);
        let (other, server) = duplex(501);
        let copying = tokio::spawn(copy(one, other));
        let sides = [client, server].map(|side| {
            let (mut reader, mut writer) = split(side);
            let sent = text.clone();
            let writing = tokio::spawn(async move {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let reading = tokio::spawn(async move {
                let mut read = Vec::new();
                reader.read_to_end(&mut read).await.unwrap();
                read
            });
            (writing, reading)
        });
        for (writing, reading) in sides {
            writing.await.unwrap();
            assert!(reading.await.unwrap() == text);
        }
        copying.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_breaks_one_way_ends_both() {
        let (mut client, one) = duplex(64);
        let (other, server) = duplex(64);
        drop(server);
        client.write_all(b"hello").await.unwrap();
        assert!(copy(one, other).await.is_err());
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_silence_ends_nothing() {
        let (mut client, one) = duplex(64);
        let (other, mut server) = duplex(64);
        let copying = tokio::spawn(copy(one, other));
        let mut read = [0; 5];
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            client.write_all(b"query").await.unwrap();
            server.read_exact(&mut read).await.unwrap();
            server.write_all(b"reply").await.unwrap();
            client.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"reply");
        }
        // One side has ended; the other may still be silent for as long as it likes.
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut read).await.unwrap(), 0);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        server.write_all(b"later").await.unwrap();
        client.read_exact(&mut read).await.unwrap();
        drop(server);
        copying.await.unwrap().unwrap();
    }
}
