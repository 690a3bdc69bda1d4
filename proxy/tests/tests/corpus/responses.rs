//! What a client gets of what a server writes: an answer to its own request, whole or visibly not, and never a part of
//! another. Belongs to `corpus`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use proptest::prop_assert_eq;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::super::client::{Client, empty, request};
use super::super::rig::Rig;
use super::super::server;
use super::{DRIPPED, changes, compare, corpus, shown};

/// What the server says to every request but the first.
const FRESH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh";

/// How long a server waits for another request that closes its connection of itself.
const IDLE: Duration = Duration::from_millis(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Stays,
    /// When it is idle.
    Idles,
    Closes,
    Resets,
}

/// What a server says to its next request, if that is not as usual.
#[derive(Debug, Clone)]
struct Said {
    bytes: Vec<u8>,
    piece: usize,
    then: Then,
}

type Next = Arc<Mutex<Option<Said>>>;

/// A server that says this once.
async fn application(next: Next) -> SocketAddr {
    let (listener, address) = server::port().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, next.clone()));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, next: Next) {
    stream.set_nodelay(true).unwrap();
    let (mut read, mut idle) = (Vec::new(), None);
    loop {
        let reading = stream.read_buf(&mut read);
        let count = match idle {
            Some(idle) => timeout(idle, reading).await.unwrap_or(Ok(0)),
            None => reading.await,
        };
        if !count.is_ok_and(|count| count > 0) {
            return;
        }
        if !read.ends_with(b"\r\n\r\n") {
            continue;
        }
        read.clear();
        let Some(said) = next.lock().unwrap().take() else {
            let _ = stream.write_all(FRESH).await;
            continue;
        };
        for piece in said.bytes.chunks(said.piece) {
            // The proxy may have had enough.
            if stream.write_all(piece).await.is_err() {
                return;
            }
            if piece.len() < said.bytes.len() {
                tokio::task::yield_now().await;
            }
        }
        match said.then {
            Then::Stays => {}
            Then::Idles => idle = Some(IDLE),
            Then::Closes => return,
            Then::Resets => {
                return SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
}

/// What a client gets: the statuses of interim responses, each once in a row, the status, the fields that are not of every answer, the body,
/// and whether it broke off.
async fn get(client: &mut Client, path: &str) -> String {
    let mut asked = request(Method::GET, path).body(empty()).unwrap();
    let interims = Arc::<Mutex<Vec<String>>>::default();
    let heard = interims.clone();
    hyper::ext::on_informational(&mut asked, move |interim| {
        heard.lock().unwrap().push(interim.status().as_str().to_owned());
    });
    let response = client.send(asked).await;
    let (parts, mut body) = response.into_parts();
    let mut statuses = std::mem::take(&mut *interims.lock().unwrap());
    statuses.dedup();
    statuses.push(parts.status.as_str().to_owned());
    let mut got = statuses.join(" ");
    let every = [
        "content-length",
        "content-type",
        "date",
        "transfer-encoding",
        "x-envoy-upstream-service-time",
    ];
    let fields = parts
        .headers
        .iter()
        .filter(|(name, _)| !every.contains(&name.as_str()));
    let fields: Vec<_> = fields.collect();
    match fields.len() {
        0..=10 => {
            for (name, value) in fields {
                got += &format!(" +{name}: {}", shown(&String::from_utf8_lossy(value.as_bytes())));
            }
        }
        count => got += &format!(" +{count} fields"),
    }
    let mut bytes = Vec::new();
    let broke = loop {
        match body.frame().await {
            None => break false,
            Some(Err(_)) => break true,
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().unwrap()),
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    // Why there is none is said with the address that it was to come from.
    if !text.starts_with("outrigger: ") {
        got += &format!(" \"{}\"", shown(&text));
    }
    if broke {
        got += " breaks off";
    }
    got
}

async fn replay(drip: bool) {
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for (row, file) in corpus("responses") {
        if drip && file.len() > DRIPPED {
            continue;
        }
        let then = match row[2].as_str() {
            "stays" => Then::Stays,
            "closes" => Then::Closes,
            "is reset" => Then::Resets,
            other => panic!("{}: {other:?} is none of stays, closes and is reset", row[0]),
        };
        let said = Said {
            piece: if drip { 1 } else { file.len().max(1) },
            bytes: file,
            then,
        };
        let rig = Rig::with(&[application(Arc::new(Mutex::new(Some(said)))).await]).await;
        let got = get(&mut rig.client().await, "/first").await;
        // Whatever that was, it says nothing of the next.
        for _ in 0..2 {
            assert_eq!(
                get(&mut rig.client().await, "/next").await,
                "200 \"fresh\"",
                "after {}",
                row[0]
            );
        }
        found.push(vec![
            row[0].clone(),
            row[1].clone(),
            row[2].clone(),
            format!("`{got}`"),
        ]);
        expected.push(row);
    }
    compare(&expected, &found);
}

/// hyper's client is the one who asks, and would say so if what it gets were no answer.
#[test]
fn whatever_is_said_it_is_of_one_answer_only() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let next = Next::default();
    let rig = runtime.block_on(async { Rig::with(&[application(next.clone()).await]).await });
    changes::look("responses", &runtime, async |bytes, piece| {
        for then in [Then::Idles, Then::Closes] {
            let bytes = bytes.clone();
            *next.lock().unwrap() = Some(Said { bytes, piece, then });
            let first = get(&mut rig.client().await, "/first").await;
            for _ in 0..2 {
                let second = get(&mut rig.client().await, "/next").await;
                prop_assert_eq!(second, "200 \"fresh\"", "after {}", first);
            }
        }
        Ok(())
    });
}

#[tokio::test]
async fn at_once() {
    replay(false).await;
}

#[tokio::test]
async fn drop_by_drop() {
    replay(true).await;
}
