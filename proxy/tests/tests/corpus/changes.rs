//! The files of a corpus changed at random, for what is true of any. Belongs to `corpus`.
//!
//! The changes are the same every time; `PROPTEST_CASES=1000000 cargo test -p outrigger-proxy corpus` looks longer,
//! `PROPTEST_RNG_SEED=1` elsewhere.

use std::fmt;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestRunner};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{DRIPPED, corpus};

/// What is put between the bytes of a file: whatever ends lines, frames bodies or looks like a message.
const TOKENS: [&str; 28] = [
    "",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "1",
    "a",
    "\0",
    "\u{b}",
    "chunked",
    "HTTP/1.0",
    "0\r\n\r\n",
    "\r\n\r\n",
    "5\r\nhello\r\n",
    "Content-Length: 5\r\n",
    "content-length:5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tchunked\r\n",
    "Connection: content-length\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: x\r\nConnection: upgrade\r\n",
    "GET /other HTTP/1.1\r\nHost: other\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
];
/// Far more than any of them takes.
const HANGS: Duration = Duration::from_secs(20);

/// What is written on a connection.
struct Written(Vec<u8>);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// One to three files, with a few bytes removed or put in here and there.
fn written(name: &str) -> impl Strategy<Value = Written> {
    let files = corpus(name).into_iter().map(|(_, file)| file);
    let files: Vec<_> = files.filter(|file| file.len() <= DRIPPED).collect();
    let put = prop_oneof![
        6 => select(&TOKENS[..]).prop_map(|token| token.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let removed = prop_oneof![2 => Just(0), 1 => 1..12_usize];
    let changes = vec((any::<Index>(), removed, put), 0..5);
    (vec(select(files), 1..4), changes).prop_map(|(files, changes)| {
        let mut bytes = files.concat();
        for (at, removed, put) in changes {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..bytes.len().min(at + removed), put);
        }
        Written(bytes)
    })
}

/// Looks at many, each with a length of the pieces that it is to be sent in.
pub(super) fn look(
    name: &str,
    runtime: &Runtime,
    case: impl AsyncFn(Vec<u8>, usize) -> Result<(), TestCaseError>,
) {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(4);
    }
    let cases = (written(name), any::<Index>());
    let looked = TestRunner::new(config).run(&cases, |(Written(bytes), piece)| {
        let piece = piece.index(bytes.len() + 1) + 1;
        let looked = runtime.block_on(async { timeout(HANGS, case(bytes, piece)).await });
        looked.map_err(|_| TestCaseError::fail("it hangs"))?
    });
    if let Err(error) = looked {
        panic!("{error}");
    }
}
