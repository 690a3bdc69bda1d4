//! gRPC at a fixed rate, directly over HTTP/2: `echo` is the server, `unary` and `stream` are the loads, which send when the
//! `schedule` says so, whatever has become of what they sent before.

mod echo;
mod load;
mod schedule;

pub(crate) use echo::run as echo;
pub(crate) use load::{Load, run as load};
