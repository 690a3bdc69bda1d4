//! What reaches an application of what a client writes: never a request that the proxy did not forward. Belongs to `corpus`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Method, Response, StatusCode};
use outrigger_proxy::http::{AccessLog, Format};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::super::client::full;
use super::super::published::{http, route, to};
use super::super::rig::Rig;
use super::super::server;
use super::seen::Seen;
use super::{DRIPPED, compare, corpus, strict};

/// Follows each file on its connection, where that stays.
const END: &str = "GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n";
/// Sent after each file on a connection of its own: all that the file leads to has been seen when it is.
const QUIET: &str = "GET /quiet HTTP/1.1\r\nHost: quiet\r\nConnection: close\r\n\r\n";

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

/// Writes on a connection of its own and gives the statuses that come back until its end.
async fn statuses(address: SocketAddr, sent: &[u8], drip: bool, waits: bool) -> Vec<String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in sent.chunks(if drip { 1 } else { sent.len().max(1) }) {
        // The proxy may have refused it already, and not read the rest.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        if drip {
            tokio::task::yield_now().await;
        }
    }
    if waits {
        let _ = stream.shutdown().await;
    }
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    let read = String::from_utf8_lossy(&read).into_owned();
    let statuses = read.split("HTTP/1.").skip(1);
    statuses.map(|answer| answer[2..5].to_owned()).collect()
}

/// Replays all files, and compares with the table what clients get and what the application sees, and with the
/// access log what the proxy says that it has forwarded.
async fn replay(application: SocketAddr, log: &Log, drip: bool) {
    let (sender, mut lines) = mpsc::unbounded_channel();
    let rig = Rig::logging(AccessLog::to(Format::Json, Lines(sender)).unwrap()).await;
    rig.service(&http(vec![route("one", vec![], vec![to("all", 1)])]))
        .await;
    rig.endpoints("all", &[application]).await;
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
        let mut got = statuses(rig.proxy.outbound, &sent, drip, waits).await;
        assert_eq!(
            statuses(rig.proxy.outbound, QUIET.as_bytes(), false, false).await,
            ["200"]
        );
        let mut believed = Vec::new();
        loop {
            let line = lines.recv().await.unwrap();
            match line["path"].as_str() {
                Some("/quiet") => break,
                path if line["response_code_details"] == "via_upstream" && line["response_code"] != 0 => {
                    let method = line["method"].as_str().unwrap();
                    believed.push((method.to_owned(), path.map(str::to_owned)));
                }
                _ => {}
            }
        }
        let mut seen: Vec<_> = log.lock().unwrap().drain(..).collect();
        assert_eq!(
            seen.pop().map(|seen| seen.unwrap().target).as_deref(),
            Some("/quiet")
        );
        let agree = seen.len() == believed.len()
            && seen.iter().zip(&believed).all(|(seen, (method, path))| {
                let path = |seen: &Seen| path.as_ref().is_none_or(|path| *path == seen.target);
                seen.as_ref()
                    .is_ok_and(|seen| seen.method == *method && path(seen))
            });
        let forwarded = (!agree).then(|| format!("though the proxy forwarded {believed:?}"));
        let stays = seen
            .pop_if(|seen| seen.as_ref().is_ok_and(|seen| seen.target == "/end"))
            .is_some();
        if stays {
            assert_eq!(got.pop().as_deref(), Some("200"), "{}", row[0]);
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
        let seen = seen.into_iter().map(|seen| match seen {
            Ok(seen) => format!("`{}`", seen.line()),
            Err(why) => format!("refuses: {why}"),
        });
        let seen = seen.chain(forwarded);
        let client = if waits { "-".to_owned() } else { cell(got) };
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
    replay(by_hyper(log.clone()).await, &log, false).await;
}

#[tokio::test]
async fn to_the_letter() {
    let log = Log::default();
    replay(by_the_letter(log.clone()).await, &log, false).await;
}

#[tokio::test]
async fn byte_by_byte() {
    let log = Log::default();
    replay(by_the_letter(log.clone()).await, &log, true).await;
}
