//! The heads of the requests on an HTTP/1 connection, as they go by: hyper drops a Content-Length beside a
//! Transfer-Encoding without a word, and such a request is to be refused (RFC 9112, section 6.3). Before it on the path:
//! `listen` or `detect`; after it: hyper, which reads the same bytes, and then `http`.

use memchr::memchr;

mod stream;

pub(super) use stream::Followed;

/// How much of a line is looked at, in bytes: more than a name and a number that fits.
const LOOKED_AT: usize = 64;

/// Follows requests by their framing, so that what a body contains is never taken for a head.
#[derive(Debug, Default)]
pub(super) struct Heads {
    at: At,
    head: Head,
    /// The beginning of a line whose end has not come yet.
    begun: Line,
    /// How many heads have gone by.
    count: u64,
}

#[derive(Debug, Default)]
enum At {
    #[default]
    RequestLine,
    Fields,
    /// So many bytes, and then the next request.
    Body(u64),
    ChunkSize,
    /// So many bytes with their line end, and then the next chunk.
    Chunk(u64),
    Trailers,
    /// It is not HTTP/1, or framed in a way that hyper refuses: there is no next request.
    Lost,
}

/// What the fields so far say of the body.
#[derive(Debug, Default)]
struct Head {
    coded: bool,
    length: Length,
}

#[derive(Debug, Default)]
enum Length {
    #[default]
    None,
    Bytes(u64),
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    bytes: [u8; LOOKED_AT],
    length: usize,
}

impl Heads {
    /// Looks at the next bytes, however they were split. Gives the number of the first head among them that has both a
    /// length and a transfer coding, counted from 1; after it nothing is looked at.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Lost => return None,
                At::Body(left) | At::Chunk(left) => {
                    let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= here as u64;
                    bytes = &bytes[here..];
                    match self.at {
                        At::Body(0) => self.at = At::RequestLine,
                        At::Chunk(0) => self.at = At::ChunkSize,
                        _ => {}
                    }
                }
                At::RequestLine | At::Fields | At::ChunkSize | At::Trailers => {
                    let Some(end) = memchr(b'\n', bytes) else {
                        self.begun.push(bytes);
                        return None;
                    };
                    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
                    bytes = rest;
                    if self.begun.length == 0 {
                        self.line(&line[..end.min(LOOKED_AT)]);
                    } else {
                        self.begun.push(line);
                        let whole = std::mem::take(&mut self.begun);
                        self.line(&whole.bytes[..whole.length]);
                    }
                    if matches!(self.at, At::Lost) && self.head.is_ambiguous() {
                        return Some(self.count);
                    }
                }
            }
        }
        None
    }

    fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.at = match self.at {
            // An empty line may come before a request (RFC 9112, section 2.2).
            At::RequestLine if line.is_empty() => At::RequestLine,
            At::RequestLine if line == b"PRI * HTTP/2.0" => At::Lost,
            At::RequestLine => At::Fields,
            At::Fields if line.is_empty() => return self.end_of_head(),
            At::Fields => return self.head.field(line),
            At::ChunkSize => match chunk_size(line) {
                Some(0) => At::Trailers,
                Some(size) => size.checked_add(2).map_or(At::Lost, At::Chunk),
                None => At::Lost,
            },
            At::Trailers if line.is_empty() => At::RequestLine,
            At::Trailers => At::Trailers,
            At::Body(_) | At::Chunk(_) | At::Lost => return,
        };
    }

    fn end_of_head(&mut self) {
        self.count += 1;
        if self.head.is_ambiguous() {
            self.at = At::Lost;
            return;
        }
        self.at = match std::mem::take(&mut self.head) {
            Head { coded: true, .. } => At::ChunkSize,
            Head {
                length: Length::None | Length::Bytes(0),
                ..
            } => At::RequestLine,
            Head {
                length: Length::Bytes(length),
                ..
            } => At::Body(length),
            Head {
                length: Length::Unreadable,
                ..
            } => At::Lost,
        };
    }
}

impl Head {
    fn field(&mut self, line: &[u8]) {
        if value(line, b"transfer-encoding").is_some() {
            self.coded = true;
        } else if let Some(value) = value(line, b"content-length") {
            let fits = line.len() < LOOKED_AT - 1;
            let length = std::str::from_utf8(value.trim_ascii())
                .ok()
                .and_then(|text| text.parse().ok());
            self.length = length.filter(|_| fits).map_or(Length::Unreadable, Length::Bytes);
        }
    }

    fn is_ambiguous(&self) -> bool {
        self.coded && !matches!(self.length, Length::None)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; LOOKED_AT],
            length: 0,
        }
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(LOOKED_AT - self.length);
        self.bytes[self.length..self.length + count].copy_from_slice(&bytes[..count]);
        self.length += count;
    }
}

/// A field's value, if it has this name. A name ends with its colon (RFC 9112, section 5.1); hyper refuses others.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then_some(value)
}

/// The number at the beginning of a chunk's first line (RFC 9112, section 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(&line[..digits]).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests;
