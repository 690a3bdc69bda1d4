//! Reading: into memory that all connections of a thread share, from which what has come is used at once or copied.
//! Connections that wait hold no buffer, and what is read into is in the processor's cache. Used by `http1`, which reads
//! messages, and by `tcp`, which hands on what it has read.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::task::coop::unconstrained;

/// Most messages are read at once: a head, and a body of 16 KiB behind it.
const SIZE: usize = 32 << 10;
/// What is read at once of a body whose length is known, in bytes.
const MOST: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into_boxed_slice());
}

/// Reads once, and gives what has come to `take`; nothing is the end.
pub(crate) fn poll_read<T>(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    poll_pass(stream, context, |bytes, _| take(bytes))
}

/// The same for what may have to wait before it can go on with the bytes. It must not read itself.
pub(crate) fn poll_pass<T>(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    take: impl FnOnce(&[u8], &mut Context<'_>) -> T,
) -> Poll<io::Result<T>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled(), context)))
    })
}

/// Reads once, and keeps what has come behind what was there. Gives how much it was; nothing is the end.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), kept: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|context| {
        poll_read(stream, context, |bytes| {
            kept.extend_from_slice(bytes);
            bytes.len()
        })
    })
    .await
}

/// Takes so much of what has been read off its beginning; an empty rest holds no memory.
pub(crate) fn advance(rest: &mut BytesMut, count: usize) {
    match count == rest.len() {
        true => *rest = BytesMut::new(),
        false => rest.advance(count),
    }
}

/// Reads once, at most so much; nothing is the end. `much` is whether there was more than could be read the last time: only
/// then is memory taken to read into, so that a body that comes in crumbs holds no more than it has.
pub(crate) fn poll_bytes(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    most: u64,
    much: &mut bool,
) -> Poll<io::Result<Bytes>> {
    let most = usize::try_from(most).map_or(MOST, |most| most.min(MOST));
    if !std::mem::take(much) || most <= SIZE {
        let mut limited = stream.take(most as u64);
        let bytes = ready!(poll_read(&mut limited, context, Bytes::copy_from_slice))?;
        *much = bytes.len() == SIZE;
        return Poll::Ready(Ok(bytes));
    }
    let mut bytes = BytesMut::with_capacity(most);
    let mut limited = stream.take(most as u64);
    ready!(pin!(limited.read_buf(&mut bytes)).poll(context))?;
    *much = bytes.len() > most / 2;
    Poll::Ready(Ok(match *much {
        true => bytes.freeze(),
        false => Bytes::copy_from_slice(&bytes),
    }))
}

/// Whether there is nothing to read: neither bytes nor an end. Nothing is asked of the operating system unless it has said
/// that there is something.
pub(crate) fn is_quiet(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0];
    let looks = poll_fn(|context| {
        let read = Pin::new(&mut *stream).poll_read(context, &mut ReadBuf::new(&mut byte));
        Poll::Ready(read.is_pending())
    });
    // A task that has had its share of the thread would be told that there is nothing.
    let looked = pin!(unconstrained(looks)).poll(&mut Context::from_waker(Waker::noop()));
    looked == Poll::Ready(true)
}
