//! A small HTTP/1.1 server for `open`: it answers /3 at once, and keeps whoever asks for /hold waiting until somebody asks for
//! /release. That makes open connections with a request each, through any proxy, for as long as it takes to look at it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;

/// A request of the benchmark has no body and a small head.
const LARGEST_HEAD: usize = 8192;

#[derive(Default)]
struct Held {
    count: Cell<usize>,
    release: Notify,
}

/// Serves for ever.
///
/// # Errors
/// The address that cannot be listened on, and what accepting ends with.
pub(crate) async fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| listen.to_string())?;
    let held = Rc::new(Held::default());
    loop {
        let (stream, _) = listener.accept().await?;
        spawn_local(serve(stream, held.clone()));
    }
}

async fn serve(mut stream: TcpStream, held: Rc<Held>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await? > 0 && head.len() < LARGEST_HEAD {
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let body = match path(&head) {
            b"/hold" => {
                held.count.set(held.count.get() + 1);
                held.release.notified().await;
                "abc".to_owned()
            }
            b"/held" => held.count.get().to_string(),
            b"/release" => {
                held.release.notify_waiters();
                "abc".to_owned()
            }
            _ => "abc".to_owned(),
        };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
        head.clear();
    }
    Ok(())
}

fn path(head: &[u8]) -> &[u8] {
    head.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
}
