//! The head of a message that is arriving, perhaps in many pieces.

use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncRead;

use super::Error;
use crate::scratch;

/// Reads until there is a head, which `parse` gives with its length, of at most so many bytes; `None` is the end of the
/// stream. `seen` is how much of an unfinished one has been looked at, and 0 at first.
pub(super) fn poll_head<T>(
    stream: &mut (impl AsyncRead + Unpin),
    rest: &mut BytesMut,
    seen: &mut usize,
    most: usize,
    context: &mut Context<'_>,
    parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Error>,
) -> Poll<Result<Option<T>, Error>> {
    loop {
        let new = rest.len() > *seen && (*seen == 0 || rest.len() > most || may_be_whole(rest, *seen));
        if new && let Some((head, length)) = parse(rest)? {
            scratch::advance(rest, length);
            *seen = 0;
            return Poll::Ready(Ok(Some(head)));
        }
        *seen = rest.len();
        // Most heads come alone and whole, and need not be kept to be read.
        let read = ready!(scratch::poll_read(stream, context, |bytes| {
            let whole = match rest.is_empty() {
                true => parse(bytes)?,
                false => None,
            };
            if rest.is_empty() {
                *seen = bytes.len();
            }
            let used = whole.as_ref().map_or(0, |(_, length)| *length);
            rest.extend_from_slice(&bytes[used..]);
            Ok((bytes.is_empty(), whole))
        }));
        match read? {
            Err(error) => return Poll::Ready(Err(error)),
            Ok((true, _)) => return Poll::Ready(Ok(None)),
            Ok((false, Some((head, _)))) => {
                *seen = 0;
                return Poll::Ready(Ok(Some(head)));
            }
            Ok((false, None)) => {}
        }
    }
}

/// Whether a head that was not whole may be it with what has come since, from `before` on. Looked at before it is parsed
/// anew, so that one which comes byte by byte does not cost its length each time.
fn may_be_whole(bytes: &[u8], before: usize) -> bool {
    let new = &bytes[before.saturating_sub(3)..];
    memchr::memchr_iter(b'\n', new).any(|at| matches!(&new[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_line_may_end_a_head() {
        for (text, before, expected) in [
            ("GET / HTTP/1.1\r\n", 0, false),
            ("GET / HTTP/1.1\r\n\r", 16, false),
            ("GET / HTTP/1.1\r\n\r\n", 17, true),
            ("GET / HTTP/1.1\n\n", 15, true),
            ("GET / HTTP/1.1\r\n\r\nabcdefgh", 22, false),
        ] {
            assert_eq!(
                may_be_whole(text.as_bytes(), before),
                expected,
                "{text:?} {before}"
            );
        }
    }
}
