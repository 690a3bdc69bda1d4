//! What a client gets of what a server writes: an answer to its own request, whole or visibly not, and never a part of
//! another. Belongs to `corpus`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use http_body_util::BodyExt;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::client::{Client, empty, request};
use super::super::rig::Rig;
use super::super::server;
use super::{DRIPPED, compare, corpus, shown};

/// What the server says to every request but the first.
const FRESH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Stays,
    Closes,
    Resets,
}

/// A server that answers its first request with these bytes.
async fn application(bytes: Vec<u8>, then: Then, drip: bool) -> SocketAddr {
    let (listener, address) = server::port().await;
    let (bytes, used) = (Arc::new(bytes), Arc::<AtomicBool>::default());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, bytes.clone(), used.clone(), then, drip));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, bytes: Arc<Vec<u8>>, used: Arc<AtomicBool>, then: Then, drip: bool) {
    stream.set_nodelay(true).unwrap();
    let mut read = Vec::new();
    while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        if !read.ends_with(b"\r\n\r\n") {
            continue;
        }
        read.clear();
        if used.swap(true, Ordering::Relaxed) {
            let _ = stream.write_all(FRESH).await;
            continue;
        }
        for piece in bytes.chunks(if drip { 1 } else { bytes.len().max(1) }) {
            // The proxy may have had enough.
            if stream.write_all(piece).await.is_err() {
                return;
            }
            if drip {
                tokio::task::yield_now().await;
            }
        }
        match then {
            Then::Stays => {}
            Then::Closes => return,
            Then::Resets => {
                return SockRef::from(&stream)
                    .set_linger(Some(std::time::Duration::ZERO))
                    .unwrap();
            }
        }
    }
}

/// The statuses of interim responses, each once in a row, the status, the fields that are not of every answer, the body,
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
        let rig = Rig::with(&[application(file, then, drip).await]).await;
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

#[tokio::test]
async fn at_once() {
    replay(false).await;
}

#[tokio::test]
async fn drop_by_drop() {
    replay(true).await;
}
