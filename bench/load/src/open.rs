//! Clients that are not about speed: many connections that stay open, held in the state in which they are to be looked at,
//! and a short warm-up.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Between two looks at how many requests have arrived.
const PAUSE: Duration = Duration::from_millis(5);
/// An answer of the benchmark's servers to these requests.
const LARGEST_ANSWER: usize = 8192;

/// Opens connections to `address` with a request each that the server behind it holds, and writes `open`; after a line of
/// input it has them answered and writes `idle`; after one more it ends.
///
/// # Errors
/// The first connection or request that failed.
pub(crate) async fn run(address: SocketAddr, server: SocketAddr, connections: usize) -> anyhow::Result<()> {
    let mut open = Vec::new();
    for number in 0..connections {
        let mut stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connection {number} to {address}"))?;
        ask(&mut stream, "/hold").await?;
        open.push(stream);
    }
    let mut control = TcpStream::connect(server).await?;
    let arrived = async {
        loop {
            ask(&mut control, "/held").await?;
            let answer = answer(&mut control).await?;
            if answer.ends_with(&format!("\r\n\r\n{connections}")) {
                return anyhow::Ok(());
            }
            sleep(PAUSE).await;
        }
    };
    arrived.await?;
    say("open")?;
    ask(&mut control, "/release").await?;
    for stream in &mut open {
        answer(stream).await?;
    }
    Ok(say("idle")?)
}

/// Asks for /3 on some connections, one request after another, for a time.
///
/// # Errors
/// The first connection or request that failed.
pub(crate) async fn warm(address: SocketAddr, connections: usize, time: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn_local(async move {
            let mut stream = TcpStream::connect(address).await?;
            while Instant::now() < end {
                ask(&mut stream, "/3").await?;
                answer(&mut stream).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

async fn ask(stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
    stream.write_all(request.as_bytes()).await
}

/// A whole answer with a `content-length` as text.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    while !is_whole(&bytes) {
        ensure!(bytes.len() < LARGEST_ANSWER, "an answer without an end");
        ensure!(stream.read_buf(&mut bytes).await? > 0, "closed before an answer");
    }
    let text = String::from_utf8(bytes).context("an answer that is not text")?;
    ensure!(text.starts_with("HTTP/1.1 200 "), "not answered with 200: {text}");
    Ok(text)
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse().ok());
    length.is_some_and(|length| body.len() >= length)
}

/// Writes a word and waits for a line. Meanwhile there is nothing to do on the connections.
fn say(word: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{word}")?;
    std::io::stdin().lines().next().transpose().map(drop)
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn an_answer_is_whole_with_the_last_byte_of_its_body() {
        let rows = [
            ("", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ];
        for (answer, expected) in rows {
            assert_eq!(is_whole(answer.as_bytes()), expected, "{answer}");
        }
    }
}
