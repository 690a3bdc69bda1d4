//! The webhook over TLS under load from one keep-alive client: 1,000 requests a second for 30 seconds, each sent when its time
//! has come whether the last was fast or not, then 100,000 as fast as they go, with the memory before, between and after.
//! `taskset --cpu-list 0 cargo bench --bench webhook_load` gives both sides one core together.

// A program that reports, on stdout.
#![allow(clippy::print_stdout)]

mod injector;
mod pods;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use outrigger::serve::{Limits, serve};
use outrigger_certs::{Authority, Request, ServingCertificate, client_config, server_config};
use rustls::{ClientConnection, StreamOwned};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use injector::Injector;

const NAME: &str = "outrigger.outrigger-system.svc";
const PER_SECOND: u32 = 1000;
const SECONDS: u32 = 30;
const AS_FAST_AS_THEY_GO: u32 = 100_000;

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` runs this too, and wants to know only that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let (address, ca) = start()?;
    let mut client = Client::connect(address, &ca)?;
    let request = request();
    for _ in 0..2 * PER_SECOND {
        client.send(&request)?;
    }

    let mut latencies = at_a_rate(&mut client, &request)?;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{} requests at {PER_SECOND} a second: p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
        latencies.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    );

    println!("resident before {AS_FAST_AS_THEY_GO} more: {} KiB", resident()?);
    for part in 1..=5 {
        let start = Instant::now();
        for _ in 0..AS_FAST_AS_THEY_GO / 5 {
            client.send(&request)?;
        }
        let rate = f64::from(AS_FAST_AS_THEY_GO / 5) / start.elapsed().as_secs_f64();
        println!(
            "resident after {}: {} KiB, at {rate:.0} a second",
            part * AS_FAST_AS_THEY_GO / 5,
            resident()?
        );
    }
    Ok(())
}

/// Serves the webhook on a thread of its own, for as long as the process lives; gives its address and whom to trust.
fn start() -> anyhow::Result<(SocketAddr, String)> {
    let now = SystemTime::now();
    let authority = Authority::generate("load", Duration::from_secs(3600), now)?;
    let name = Request {
        dns_names: vec![NAME.into()],
        ips: vec![],
    };
    let certificate = Arc::new(ServingCertificate::default());
    certificate.replace(authority.issue(&name, Duration::from_secs(3600), now)?)?;
    let tls = Arc::new(server_config(certificate)?);
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let injector = Injector::new();
        let router = injector.router.clone();
        injector.runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            serve(listener, tls, router, Limits::default(), CancellationToken::new()).await
        })
    });
    Ok((address, authority.certificate_pem().into()))
}

/// Sends one request each time one is due. A request that the one before it held up has waited since it was due.
fn at_a_rate(client: &mut Client, request: &[u8]) -> anyhow::Result<Vec<Duration>> {
    let start = Instant::now();
    let period = Duration::from_secs(1) / PER_SECOND;
    (0..PER_SECOND * SECONDS)
        .map(|index| {
            let due = start + period * index;
            let early = due.saturating_duration_since(Instant::now());
            let begin = if early.is_zero() {
                due
            } else {
                thread::sleep(early);
                // What the timer of this client oversleeps is not the webhook's.
                Instant::now()
            };
            client.send(request)?;
            Ok(begin.elapsed())
        })
        .collect()
}

fn request() -> Vec<u8> {
    let body = pods::review(pods::ordinary()).to_string();
    let head = format!(
        "POST /inject?timeout=5s HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// One connection, one request at a time.
struct Client {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, ca: &str) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let connection = ClientConnection::new(Arc::new(client_config(ca)?), NAME.try_into()?)?;
        let stream = BufReader::new(StreamOwned::new(connection, socket));
        Ok(Self {
            stream,
            line: String::new(),
            body: vec![],
        })
    }

    /// Sends the request and reads the whole answer, which must hold a patch.
    fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(request)?;
        self.read_line()?;
        ensure!(
            self.line.starts_with("HTTP/1.1 200"),
            "the answer is {}",
            self.line
        );
        let mut length = 0;
        while !self.line.trim().is_empty() {
            self.read_line()?;
            if let Some(value) = self.line.strip_prefix("content-length: ") {
                length = value.trim().parse()?;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        let patched = self.body.windows(11).any(|part| part == b"\"patchType\"");
        ensure!(patched, "no patch: {}", String::from_utf8_lossy(&self.body));
        Ok(())
    }

    fn read_line(&mut self) -> anyhow::Result<()> {
        self.line.clear();
        self.stream.read_line(&mut self.line)?;
        Ok(())
    }
}

/// The memory of this process that is resident, in KiB (`VmRSS`).
fn resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
