//! HTTP/1.1 (RFC 9112) on both sides of the proxy: `server` is a client's connection, `exchange` one request to an
//! endpoint. Heads stay the bytes that came (`message::Fields`), a read goes into memory that all connections of a thread
//! share (`scratch`), and an idle connection holds none. Whoever waits for a message reads and writes by itself, without a
//! task behind the connection. Parsing is `httparse`; what its messages mean is here.
//!
//! Pure: `head`, `framing`, `chunks`, `write`. With a socket: `arriving`, `remaining`, `output`, and the two sides.

use std::io;

mod answer;
mod arriving;
mod chunks;
mod date;
mod exchange;
mod framing;
mod head;
mod incoming;
mod interims;
mod output;
mod remaining;
mod server;
mod write;

pub(crate) use exchange::{Exchanged, NoAnswer, Upload, Wire, exchange};
pub(crate) use framing::{Misframed, misframed};
pub(crate) use incoming::Incoming;
pub(crate) use interims::Interims;
pub(crate) use remaining::Remaining;
pub(crate) use server::{After, Client};

/// What a request's head may take, in bytes; Envoy's default of 60 KiB.
pub(crate) const MAX_HEAD: usize = 60 << 10;
/// The same of a response. The application is trusted with more than its clients are: its client would have taken it.
const MAX_RESPONSE_HEAD: usize = 400 << 10;
/// How many fields a head or a trailer section may have; Envoy's default.
pub(crate) const MAX_FIELDS: usize = 100;

/// Why a message cannot be read, or its body breaks off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side has closed it in the middle of the message.
    #[error("the connection was closed in the middle of a message")]
    Closed,
    /// Not a head.
    #[error("the head cannot be read: {0}")]
    Head(String),
    /// More than so many bytes, or than [`MAX_FIELDS`] fields.
    #[error("the head is too large: at most {} KiB and {MAX_FIELDS} fields", .0 >> 10)]
    TooLarge(usize),
    /// It is not certain where the body ends.
    #[error("the end of the body is not certain: {0}")]
    Framing(&'static str),
    /// A body in chunks that are none.
    #[error("the chunks cannot be read: {0}")]
    Chunks(&'static str),
    /// A body that is sent has not the length that its head says.
    #[error("the body is {0} than its Content-Length says")]
    Length(&'static str),
}
