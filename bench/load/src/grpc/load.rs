//! The loads. A latency is counted from the moment at which its call should have begun, so that waiting for a slow proxy is
//! part of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::schedule;

/// Calls that are not over by then have failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// A message's prefix (not compressed, 100 bytes) and its bytes.
const MESSAGE: [u8; 105] = {
    let mut message = [b'x'; 105];
    (message[0], message[1], message[2], message[3], message[4]) = (0, 0, 0, 0, 100);
    message
};

/// What is sent, how often and where.
#[derive(Clone, Args)]
pub(crate) struct Load {
    address: SocketAddr,
    /// Messages per second
    #[arg(long)]
    rate: u32,
    #[arg(long)]
    seconds: f64,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Send the messages in this many streams that stay open; without it, each is a call of its own
    #[arg(long)]
    streams: Option<usize>,
}

/// Sends a load and writes a line of JSON on standard output: requests, seconds, errors, and latencies in microseconds.
///
/// # Errors
/// What could not be started. Calls that fail are counted.
pub(crate) async fn run(load: Load) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        let stream = TcpStream::connect(load.address)
            .await
            .with_context(|| load.address.to_string())?;
        stream.set_nodelay(true)?;
        let (send, connection) = h2::client::handshake(stream).await?;
        spawn_local(connection);
        connections.push(send);
    }
    let began = Instant::now();
    let (sent, mut latencies) = match load.streams {
        None => unary(&load, &connections).await,
        Some(streams) => streaming(&load, &connections, streams).await?,
    };
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        let found = latencies.get(index.min(latencies.len().saturating_sub(1)));
        found.map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    let result = json!({
        "requests": latencies.len(),
        "seconds": began.elapsed().as_secs_f64(),
        "p50": at(0.5),
        "p99": at(0.99),
        "p999": at(0.999),
        "errors": sent - latencies.len(),
    });
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{result}")?)
}

/// A call for each message. How many were begun, and how long each took that succeeded.
async fn unary(load: &Load, connections: &[SendRequest<Bytes>]) -> (usize, Vec<Duration>) {
    let mut schedule = schedule::begin(load.rate, Duration::from_secs_f64(load.seconds));
    let (mut calls, mut latencies, mut sent) = (JoinSet::new(), Vec::new(), 0);
    while let Some(due) = schedule.recv().await {
        let connection = connections[sent % connections.len()].clone();
        calls.spawn_local(async move { call(connection).await.map(|()| due.elapsed()) });
        sent += 1;
        while let Some(ended) = calls.try_join_next() {
            latencies.extend(ended.ok().and_then(Result::ok));
        }
    }
    let rest = async {
        while let Some(ended) = calls.join_next().await {
            latencies.extend(ended.ok().and_then(Result::ok));
        }
    };
    // What is not over is missing among the latencies.
    let _ = timeout(PATIENCE, rest).await;
    (sent, latencies)
}

async fn call(connection: SendRequest<Bytes>) -> anyhow::Result<()> {
    let (_out, mut body) = begin(connection, "Unary", |out| {
        out.send_data(Bytes::from_static(&MESSAGE), true)
    })
    .await?;
    let mut received = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        received += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    ensure!(received == MESSAGE.len(), "not the message that was sent");
    let status = body.trailers().await?.context("no trailers")?;
    ensure!(status.get("grpc-status").is_some_and(|status| status == "0"));
    Ok(())
}

/// The same messages in streams that stay open.
async fn streaming(
    load: &Load,
    connections: &[SendRequest<Bytes>],
    streams: usize,
) -> anyhow::Result<(usize, Vec<Duration>)> {
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let (mut outs, mut readers) = (Vec::new(), JoinSet::new());
    for number in 0..streams {
        let connection = connections[number % connections.len()].clone();
        let (out, body) = begin(connection, "Stream", |_| Ok(())).await?;
        let due = Rc::new(RefCell::new(VecDeque::new()));
        readers.spawn_local(read(body, due.clone(), latencies.clone()));
        outs.push((out, due));
    }
    let mut schedule = schedule::begin(load.rate, Duration::from_secs_f64(load.seconds));
    let mut sent = 0;
    while let Some(moment) = schedule.recv().await {
        let (out, due) = &mut outs[sent % streams];
        due.borrow_mut().push_back(moment);
        sent += 1;
        // A stream that was closed answers no more, which is counted.
        let _ = out.send_data(Bytes::from_static(&MESSAGE), false);
    }
    let answered = async {
        while latencies.borrow().len() < sent && !readers.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = timeout(PATIENCE, answered).await;
    let latencies = latencies.take();
    Ok((sent, latencies))
}

/// Takes messages in the order in which they were sent until the stream ends.
async fn read(
    mut body: RecvStream,
    due: Rc<RefCell<VecDeque<Instant>>>,
    latencies: Rc<RefCell<Vec<Duration>>>,
) -> anyhow::Result<()> {
    let mut bytes = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes += data.len();
        while bytes >= MESSAGE.len() {
            bytes -= MESSAGE.len();
            let due = due.borrow_mut().pop_front().context("more than was sent")?;
            latencies.borrow_mut().push(due.elapsed());
        }
    }
    Ok(())
}

/// A call to a method; `first` is done before its answer is waited for.
async fn begin(
    connection: SendRequest<Bytes>,
    method: &str,
    first: impl FnOnce(&mut SendStream<Bytes>) -> Result<(), h2::Error>,
) -> anyhow::Result<(SendStream<Bytes>, RecvStream)> {
    let request = Request::post(format!("http://bench/bench.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut out) = connection.ready().await?.send_request(request, false)?;
    first(&mut out)?;
    let response = response.await?;
    ensure!(response.status() == 200, "{}", response.status());
    Ok((out, response.into_body()))
}
