//! Reading: into memory that all connections of a thread share, from which what has come is used at once or copied.
//! Connections that wait hold no buffer, and what is read into is in the processor's cache.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Most messages are read at once: a head, and a body of 16 KiB behind it.
const SIZE: usize = 32 << 10;
/// What is read at once of a body whose length is known, in bytes.
const MOST: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into_boxed_slice());
}

/// Reads once, and gives what has come to `take`; nothing is the end.
pub(super) fn poll_read<T>(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    })
}

/// Reads once, at most so much, into memory of its own; nothing is the end.
pub(super) fn poll_bytes(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    most: u64,
) -> Poll<io::Result<Bytes>> {
    let most = usize::try_from(most).map_or(MOST, |most| most.min(MOST));
    if most < SIZE / 8 {
        return poll_read(&mut stream.take(most as u64), context, Bytes::copy_from_slice);
    }
    let mut bytes = BytesMut::with_capacity(most);
    let mut limited = stream.take(most as u64);
    let read = std::pin::pin!(limited.read_buf(&mut bytes));
    ready!(read.poll(context))?;
    Poll::Ready(Ok(bytes.freeze()))
}

/// Whether there is nothing to read: neither bytes nor an end. Nothing is asked of the operating system unless it has said
/// that there is something.
pub(super) fn is_quiet(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0];
    let mut context = Context::from_waker(std::task::Waker::noop());
    let read = Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
    read.is_pending()
}
