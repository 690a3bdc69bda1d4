//! What reaches an application of what a client writes: never a request that the proxy did not forward. Belongs to `corpus`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Method, Response, StatusCode};
use outrigger_proxy::http::{AccessLog, Format};
use proptest::{prop_assert, prop_assert_eq};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::super::client::full;
use super::super::published::{http, route, to};
use super::super::rig::Rig;
use super::super::server;
use super::seen::Seen;
use super::{DRIPPED, changes, compare, corpus, strict};

/// Follows each file on its connection, where that stays.
const END: &str = "GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n";
/// Sent after each file on a connection of its own: all that the file leads to has been seen when it is.
const QUIET: &str = "GET /quiet HTTP/1.1\r\nHost: quiet\r\nConnection: close\r\n\r\n";

/// Follows a file that was changed, and its end. Nothing that is waited for ends in it, and while there is more of it the
/// client has not gone.
const FILLER: [u8; 512] = [0; 512];

/// What an application has seen, or what its parser says against it.
type Log = Arc<Mutex<Vec<Result<Seen, String>>>>;

/// hyper's server as the application, which answers 405 to CONNECT and otherwise 200.
async fn by_hyper(log: Log) -> SocketAddr {
    server::http(move |request| {
        let log = log.clone();
        async move {
            let refused = request.method() == Method::CONNECT;
            if let Some(seen) = Seen::by_hyper(request).await {
                log.lock().unwrap().push(Ok(seen));
            }
            let mut response = Response::new(full("ok"));
            if refused {
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
            response
        }
    })
    .await
}

/// The strict parser as the application. What it cannot read it notes, and closes.
async fn by_the_letter(log: Log) -> SocketAddr {
    let (listener, address) = server::port().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(read(stream, log.clone()));
        }
    });
    address
}

async fn read(mut stream: TcpStream, log: Log) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
        loop {
            match strict::parse(&bytes) {
                Ok(None) => break,
                Ok(Some((seen, length))) => {
                    bytes.drain(..length);
                    let answer = match seen.method.as_str() {
                        "CONNECT" => "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 2\r\n\r\nno",
                        "HEAD" => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
                        _ => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                    };
                    log.lock().unwrap().push(Ok(seen));
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Err(why) => return log.lock().unwrap().push(Err(why)),
            }
        }
    }
}

struct Lines(mpsc::UnboundedSender<Value>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Nobody reads the last lines.
        let _ = self.0.send(serde_json::from_slice(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes on a connection of its own, so many bytes at a time, and gives the statuses that come back until its end.
async fn statuses(address: SocketAddr, sent: &[u8], piece: usize, ends: bool) -> Vec<String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for part in sent.chunks(piece) {
        // The proxy may have refused it already, and not read the rest.
        if stream.write_all(part).await.is_err() {
            break;
        }
        if part.len() < sent.len() {
            tokio::task::yield_now().await;
        }
    }
    if ends {
        let _ = stream.shutdown().await;
    }
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    let read = String::from_utf8_lossy(&read).into_owned();
    let statuses = read.split("HTTP/1.").skip(1);
    statuses.map(|answer| answer[2..5].to_owned()).collect()
}

/// A proxy in front of an application, of both of which everything is known.
struct Watched {
    rig: Rig,
    lines: mpsc::UnboundedReceiver<Value>,
    log: Log,
}

/// What came of what a client wrote.
struct Outcome {
    /// What the client got.
    statuses: Vec<String>,
    /// What the application saw.
    seen: Vec<Result<Seen, String>>,
    /// Method and path of what the proxy has forwarded, as its access log has it.
    believed: Vec<(String, Option<String>)>,
}

impl Watched {
    async fn new(application: SocketAddr, log: Log) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        let rig = Rig::logging(AccessLog::to(Format::Json, Lines(sender)).unwrap()).await;
        rig.service(&http(vec![route("one", vec![], vec![to("all", 1)])]))
            .await;
        rig.endpoints("all", &[application]).await;
        Self { rig, lines, log }
    }

    /// In front of the strict parser.
    async fn to_the_letter() -> Self {
        let log = Log::default();
        Self::new(by_the_letter(log.clone()).await, log).await
    }

    /// Sends it on a connection of its own, so many bytes at a time. `ends` is whether it is the client that closes it.
    async fn send(&mut self, sent: &[u8], piece: usize, ends: bool) -> Outcome {
        let address = self.rig.proxy.outbound;
        let statuses = statuses(address, sent, piece, ends).await;
        assert_eq!(
            self::statuses(address, QUIET.as_bytes(), QUIET.len(), false).await,
            ["200"]
        );
        let mut believed = Vec::new();
        loop {
            let line = self.lines.recv().await.unwrap();
            match line["path"].as_str() {
                Some("/quiet") => break,
                path if line["response_code_details"] == "via_upstream" && line["response_code"] != 0 => {
                    let method = line["method"].as_str().unwrap();
                    believed.push((method.to_owned(), path.map(str::to_owned)));
                }
                _ => {}
            }
        }
        let mut seen: Vec<_> = self.log.lock().unwrap().drain(..).collect();
        assert_eq!(
            seen.pop().map(|seen| seen.unwrap().target).as_deref(),
            Some("/quiet")
        );
        Outcome {
            statuses,
            seen,
            believed,
        }
    }
}

impl Outcome {
    /// Whether the application saw what the proxy has forwarded, and nothing else.
    fn agrees(&self) -> bool {
        self.seen.len() == self.believed.len()
            && self
                .seen
                .iter()
                .zip(&self.believed)
                .all(|(seen, (method, path))| {
                    let path = |seen: &Seen| path.as_ref().is_none_or(|path| *path == seen.target);
                    seen.as_ref()
                        .is_ok_and(|seen| seen.method == *method && path(seen))
                })
    }
}

/// Replays all files, and compares with the table what clients get and what the application sees, and with the
/// access log what the proxy says that it has forwarded.
async fn replay(mut watched: Watched, drip: bool) {
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for (row, file) in corpus("requests") {
        if drip && file.len() > DRIPPED {
            continue;
        }
        let waits = row[2] == "waits";
        let mut sent = file;
        if !waits {
            sent.extend_from_slice(END.as_bytes());
        }
        let piece = if drip { 1 } else { sent.len().max(1) };
        let mut outcome = watched.send(&sent, piece, waits).await;
        let forwarded =
            (!outcome.agrees()).then(|| format!("though the proxy forwarded {:?}", outcome.believed));
        let stays = outcome
            .seen
            .pop_if(|seen| seen.as_ref().is_ok_and(|seen| seen.target == "/end"))
            .is_some();
        if stays {
            assert_eq!(outcome.statuses.pop().as_deref(), Some("200"), "{}", row[0]);
        }
        let then = match (waits, stays) {
            (true, _) => "waits",
            (_, true) => "stays",
            (_, false) => "closes",
        };
        let cell = |lines: Vec<String>| match lines.is_empty() {
            true => "-".to_owned(),
            false => lines.join(", "),
        };
        let seen = outcome.seen.into_iter().map(|seen| match seen {
            Ok(seen) => format!("`{}`", seen.line()),
            Err(why) => format!("refuses: {why}"),
        });
        let seen = seen.chain(forwarded);
        let client = if waits {
            "-".to_owned()
        } else {
            cell(outcome.statuses)
        };
        found.push(vec![
            row[0].clone(),
            row[1].clone(),
            then.to_owned(),
            client,
            cell(seen.collect()),
        ]);
        expected.push(row);
    }
    compare(&expected, &found);
}

#[tokio::test]
async fn as_hyper_reads_them() {
    let log = Log::default();
    replay(Watched::new(by_hyper(log.clone()).await, log).await, false).await;
}

#[tokio::test]
async fn to_the_letter() {
    replay(Watched::to_the_letter().await, false).await;
}

#[tokio::test]
async fn byte_by_byte() {
    replay(Watched::to_the_letter().await, true).await;
}

/// The bodies of the requests that the strict parser finds in what was written, until it finds none.
fn bodies(mut written: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Ok(Some((seen, length))) = strict::parse(written) {
        bodies.push(seen.body);
        written = &written[length..];
    }
    bodies
}

#[test]
fn whatever_is_written_nothing_is_smuggled() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let watched = tokio::sync::Mutex::new(runtime.block_on(Watched::to_the_letter()));
    changes::look("requests", &runtime, async |written, piece| {
        let sent = [&written[..], END.as_bytes(), &FILLER[..]].concat();
        let outcome = watched.lock().await.send(&sent, piece, true).await;
        let Outcome { seen, believed, .. } = &outcome;
        prop_assert!(outcome.agrees(), "forwarded {believed:?}, seen {seen:?}");
        for (seen, sent) in seen.iter().flatten().zip(bodies(&sent)) {
            prop_assert_eq!(&seen.body, &sent, "{:?}", seen);
        }
        Ok(())
    });
}
