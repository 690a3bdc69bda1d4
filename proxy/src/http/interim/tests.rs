//! Through the stream that writes them, with a client that reads little at a time.

use std::pin::Pin;
use std::task::Context;

use futures::task::noop_waker_ref;
use tokio::io::{AsyncReadExt, AsyncWrite, DuplexStream, duplex};

use super::super::heads::Followed;
use super::*;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\n\r\n";
/// What is on its way at most, in bytes.
const ROOM: usize = 8;

struct Connection {
    server: Followed<DuplexStream>,
    client: DuplexStream,
    interims: Arc<Interims>,
    metrics: Arc<Metrics>,
}

impl Connection {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::default());
        let interims = Arc::new(Interims::new(metrics.clone()));
        let (server, client) = duplex(ROOM);
        Self {
            server: Followed::new(server, interims.clone()).0,
            client,
            interims,
            metrics,
        }
    }

    /// What hyper does when it is polled with these bytes to write; gives how many it has got rid of.
    fn write(&mut self, mut bytes: &[u8]) -> usize {
        let length = bytes.len();
        let mut context = Context::from_waker(noop_waker_ref());
        while !bytes.is_empty() {
            match Pin::new(&mut self.server).poll_write(&mut context, bytes) {
                Poll::Ready(count) => bytes = &bytes[count.unwrap()..],
                Poll::Pending => return length - bytes.len(),
            }
        }
        let _ = Pin::new(&mut self.server).poll_flush(&mut context);
        length
    }

    /// The same with all of these, while the client reads; gives what that has read by then, and whatever else there is.
    async fn write_all(&mut self, bytes: &[u8]) -> String {
        let (mut written, mut read) = (0, Vec::new());
        loop {
            written += self.write(&bytes[written..]);
            let mut piece = [0; ROOM];
            match futures::FutureExt::now_or_never(self.client.read(&mut piece)) {
                Some(count) => read.extend_from_slice(&piece[..count.unwrap()]),
                None if written == bytes.len() => return String::from_utf8(read).unwrap(),
                None => {}
            }
        }
    }

    fn hint(&self, number: u64) {
        self.interims
            .push(number, StatusCode::EARLY_HINTS, &HeaderMap::new());
    }

    fn dropped(&self) -> String {
        let text = self.metrics.text(0);
        let name = "outrigger_interim_responses_dropped_total ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    }
}

#[tokio::test]
async fn it_waits_for_the_end_of_an_earlier_response() {
    let mut connection = Connection::new();
    assert_eq!(connection.write(b"the first response"), ROOM);
    connection.interims.answered();
    connection.hint(1);
    let rest = connection.write_all(&b"the first response"[ROOM..]).await;
    assert_eq!(rest, format!("the first response{HINTS}"));
    connection.interims.answered();
    assert_eq!(connection.write_all(b"the second").await, "the second");
    assert_eq!(connection.dropped(), "0");
}

#[tokio::test]
async fn it_is_dropped_where_its_response_is_behind_an_earlier_one() {
    let mut connection = Connection::new();
    assert_eq!(connection.write(b"the first response"), ROOM);
    connection.interims.answered();
    connection.hint(1);
    connection.hint(1);
    connection.interims.answered();
    let rest = connection
        .write_all(&b"the first response and the second"[ROOM..])
        .await;
    assert_eq!(rest, "the first response and the second");
    assert_eq!(connection.dropped(), "2");
}

#[tokio::test]
async fn nothing_comes_into_the_midst_of_it() {
    let mut connection = Connection::new();
    connection.hint(0);
    assert_eq!(connection.write(b""), 0);
    // A part of it is on its way.
    connection.hint(0);
    connection.interims.answered();
    assert_eq!(connection.write(b"the response"), 0);
    let all = connection.write_all(b"the response").await;
    assert_eq!(all, format!("{HINTS}{HINTS}the response"));
    assert_eq!(connection.dropped(), "0");
}

#[tokio::test]
async fn it_is_dropped_behind_its_response() {
    let mut connection = Connection::new();
    connection.interims.answered();
    // Of a try that was given up.
    connection.hint(0);
    assert_eq!(connection.write_all(b"a part").await, "a part");
    connection.hint(0);
    assert_eq!(connection.write_all(b" and the rest").await, " and the rest");
    assert_eq!(connection.dropped(), "2");
}
