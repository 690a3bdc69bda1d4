//! `outrigger-proxy wait`: ends once the proxy in this pod is ready. As the postStart hook of a classic sidecar it holds
//! the application: the kubelet starts the next container when the hook has ended. Asks what `admin` answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

/// From one question to the next.
const POLL: Duration = Duration::from_millis(200);
/// What one question may take.
const ANSWER: Duration = Duration::from_secs(3);
/// What is read of an answer, in bytes.
const LONGEST: u64 = 4096;

/// The flags of `outrigger-proxy wait`.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout_seconds: u64,
    /// Port of the readiness probe, on loopback
    #[arg(long, default_value_t = 15021)]
    pub readiness_port: u16,
}

/// Waits until the proxy is ready.
///
/// # Errors
/// What the proxy answered last, if it is not ready in time.
pub async fn run(args: WaitArgs) -> anyhow::Result<()> {
    let readiness = (Ipv4Addr::LOCALHOST, args.readiness_port).into();
    ready(readiness, Duration::from_secs(args.timeout_seconds)).await?;
    info!("the proxy is ready");
    Ok(())
}

async fn ready(address: SocketAddr, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = timeout(ANSWER, ask(address)).await.context("no answer").flatten();
        match answer {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| {
                    format!(
                        "the proxy is not ready after {limit:?} (http://{address}/healthz/ready); see the log of container \
                         outrigger-proxy"
                    )
                });
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

/// One question. HTTP/1.0: the answer ends with the connection.
async fn ask(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz/ready HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let Some(status) = head.split_whitespace().nth(1) else {
        bail!("no HTTP answer");
    };
    ensure!(status == "200", "{status}: {}", body.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers each connection with the next of these, and the last one for ever.
    async fn proxy(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let last = answers.last().unwrap();
            for answer in answers.iter().chain(std::iter::repeat(last)) {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = [0; 64];
                let length = stream.read(&mut question).await.unwrap();
                assert!(question[..length].starts_with(b"GET /healthz/ready HTTP/1."));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    const READY: &str = "HTTP/1.0 200 OK\r\n\r\nready\n";
    const AWAY: &str = "HTTP/1.0 503 Service Unavailable\r\n\r\nthe control plane is away\n";

    #[tokio::test(start_paused = true)]
    async fn it_ends_once_the_proxy_is_ready() {
        let address = proxy(&[AWAY, "", "SSH-2.0-x\r\n", AWAY, READY]).await;
        ready(address, Duration::from_secs(600)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_answer_is_said_when_the_time_is_over() {
        let check = async |address: SocketAddr, expected: &str| {
            let begun = Instant::now();
            let error = ready(address, Duration::from_secs(7)).await.unwrap_err();
            assert!(begun.elapsed() >= Duration::from_secs(7));
            assert_eq!(
                format!("{error:#}"),
                format!(
                    "the proxy is not ready after 7s (http://{address}/healthz/ready); see the log of container \
                     outrigger-proxy: {expected}"
                )
            );
        };
        check(proxy(&[AWAY]).await, "503: the control plane is away").await;
        check(proxy(&[""]).await, "no HTTP answer").await;
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        check(address, "Connection refused (os error 111)").await;
    }
}
