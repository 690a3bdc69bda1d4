//! Where every connection enters: accepts it and learns where the client meant to go. After it on the path:
//! `outbound` or `inbound`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// How long to wait after the operating system could not give a connection, for instance for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: u32 = 4096;
/// TCP keep-alive: after how long a silence the other end is asked, how often, and how many times. Below the 350 s after
/// which cloud providers' load balancers and NATs forget a silent connection.
const SILENCE: Duration = Duration::from_secs(300);
const QUESTIONS: Duration = Duration::from_secs(30);
const UNANSWERED: u32 = 5;

/// Who is at the other end, as proved by its certificate. There is no such proof yet, so there is no value.
#[derive(Debug, Clone)]
pub enum Identity {}

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: TcpStream,
    /// The other end's address.
    pub peer: SocketAddr,
    /// Where the client meant to go.
    pub destination: SocketAddr,
    /// Who the other end is.
    pub identity: Option<Identity>,
}

impl Connection {
    /// The same connection, whose bytes come and go by the runtime that calls this.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn registered_here(self) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::from_std(self.stream.into_std()?)?,
            ..self
        })
    }
}

/// How the destination of a connection is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginalDestination {
    /// iptables redirected it and knows (`SO_ORIGINAL_DST`).
    Redirected,
    /// There is one destination for all: without iptables, as in the demo.
    Fixed(SocketAddr),
}

/// A connection that cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Dialled directly, not redirected: its destination is the listener itself, and carrying it there would
    /// never end.
    #[error("{0} was dialled directly; it is for redirected connections only")]
    Loop(SocketAddr),
    /// The operating system does not say.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Binds a listener.
///
/// # Errors
/// What the operating system says, with the address.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    use anyhow::Context;
    let bind = || {
        let socket = if address.is_ipv4() {
            tokio::net::TcpSocket::new_v4()?
        } else {
            tokio::net::TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        if address.is_ipv6() {
            SockRef::from(&socket).set_only_v6(false)?;
        }
        // What Linux gives each connection that it takes from here (tcp(7), socket(7)).
        socket.set_nodelay(true)?;
        keep_alive(SockRef::from(&socket))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| format!("listen on {address}"))
}

/// Accepts for ever. `take` gets each connection, or why it was refused, and must not block.
pub async fn accept(
    listener: TcpListener,
    original: OriginalDestination,
    take: impl Fn(Result<Connection, Refused>),
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => take(connection(stream, peer, original)),
            Err(error) => {
                tracing::error!(%error, pause = ?ACCEPT_PAUSE, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    original: OriginalDestination,
) -> Result<Connection, Refused> {
    let destination = match original {
        OriginalDestination::Fixed(address) => address,
        OriginalDestination::Redirected => redirected(&stream)?,
    };
    let peer = canonical(peer);
    Ok(Connection {
        stream,
        peer,
        destination,
        identity: None,
    })
}

/// Connections may be silent for as long as they like. That the other end is gone without a word is found out by asking the
/// operating system to, so that what it left behind does not stay for ever.
pub(crate) fn keep_alive(socket: SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(QUESTIONS)
        .with_retries(UNANSWERED);
    socket.set_tcp_keepalive(&keepalive)
}

fn redirected(stream: &TcpStream) -> Result<SocketAddr, Refused> {
    let local = canonical(stream.local_addr()?);
    let socket = SockRef::from(stream);
    let original = if local.is_ipv4() {
        socket.original_dst_v4()
    } else {
        socket.original_dst_v6()
    };
    match original
        .ok()
        .and_then(|original| original.as_socket())
        .map(canonical)
    {
        Some(destination) if destination != local => Ok(destination),
        // Without an entry in the kernel's table nobody redirected it.
        _ => Err(Refused::Loop(local)),
    }
}

/// An IPv4 address as such, also where a listener for both families sees it mapped into IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn the_other_end_is_asked_whether_it_is_still_there() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mut taken) = mpsc::unbounded_channel();
        let fixed = OriginalDestination::Fixed(address);
        let accepting = tokio::spawn(accept(listener, fixed, move |connection| {
            sender.send(connection).unwrap();
        }));
        let _client = TcpStream::connect(address).await.unwrap();
        let connection = taken.recv().await.unwrap().unwrap();
        let socket = SockRef::from(&connection.stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), SILENCE);
        accepting.abort();
    }

    #[tokio::test]
    async fn a_connection_that_nobody_redirected_is_refused() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mut taken) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(accept(
            listener,
            OriginalDestination::Redirected,
            move |connection| sender.send(connection).unwrap(),
        ));
        let _client = TcpStream::connect(address).await.unwrap();
        assert!(matches!(taken.recv().await.unwrap(), Err(Refused::Loop(looped)) if looped == address));
        accepting.abort();
    }
}
