//! When a classic sidecar may end: the kubelet stops it together with the application, which goes on for a while. What
//! listens in the pod's network namespace, other than the proxy itself, is the application.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::sleep;

/// Every socket of the network namespace, by family.
const SOCKETS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// `TCP_LISTEN`, as the kernel prints it.
const LISTEN: &str = "0A";

/// What an application that listens nowhere has at least. Istio's terminationDrainDuration.
const AT_LEAST: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);

/// Ends when nothing in this network namespace listens any more but at the addresses `own`, and not before 5 s.
pub async fn gone(own: &HashSet<SocketAddr>) {
    silent(|| Ok(other(listening()?, own))).await;
}

async fn silent(listening: impl Fn() -> io::Result<Option<SocketAddr>>) {
    sleep(AT_LEAST).await;
    let mut reported = None;
    loop {
        match listening() {
            Ok(None) => return,
            Ok(Some(listener)) => {
                if reported.replace(listener) != Some(listener) {
                    tracing::info!(%listener, "the application is still there");
                }
            }
            // The application gets all the time that there is.
            Err(error) => {
                tracing::warn!(%error, "cannot see whether the application is gone: the drain takes all of its time");
                return std::future::pending().await;
            }
        }
        sleep(POLL).await;
    }
}

fn other(listening: Vec<SocketAddr>, own: &HashSet<SocketAddr>) -> Option<SocketAddr> {
    listening.into_iter().find(|listener| !own.contains(listener))
}

/// Where something listens in this network namespace.
fn listening() -> io::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for file in SOCKETS {
        match std::fs::read_to_string(file) {
            Ok(sockets) => found.extend(listeners(&sockets)),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && file == SOCKETS[1] => {}
            Err(error) => return Err(io::Error::new(error.kind(), format!("{file}: {error}"))),
        }
    }
    Ok(found)
}

/// The listening sockets of `/proc/net/tcp` or `/proc/net/tcp6`: lines `number: local remote state …`.
fn listeners(sockets: &str) -> impl Iterator<Item = SocketAddr> {
    sockets.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, state) = (columns.next()?, columns.nth(1)?);
        if state == LISTEN { address(local) } else { None }
    })
}

/// `0100007F:3A99`: words of 32 bits as the machine has them in memory, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let bytes: Vec<u8> = words
        .as_bytes()
        .chunks(8)
        .map(|word| {
            let word = std::str::from_utf8(word).ok().filter(|word| word.len() == 8)?;
            u32::from_str_radix(word, 16).ok()
        })
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    let ip: IpAddr = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::Instant;

    /// Printed by Linux 6.18 on a little-endian machine.
    #[cfg(target_endian = "little")]
    #[test]
    fn listening_sockets_are_told_from_connections() {
        let check = |sockets: &str, expected: &[&str]| {
            let found: Vec<_> = listeners(sockets).map(|one| one.to_string()).collect();
            assert_eq!(found, expected);
        };
        check(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 4057 1 0000000000000000 100 0 0 10 0
   1: 0900010A:1F90 0700010A:D431 01 00000000:00000000 02:000003E8 00000000     0        0 5121 2 0000000000000000 20 4 30 10 -1
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4061 1 0000000000000000 100 0 0 10 0
",
            &["127.0.0.1:15001", "0.0.0.0:8080"],
        );
        check(
            "  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:3A9E 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   1: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   2: 0000000000000000FFFF00000900010A:1F90 0000000000000000FFFF00000700010A:D431 06 00000000:00000000 00:00000000
",
            &["[::]:15006", "[2001:db8::1]:80"],
        );
        check("nonsense\n\n 0: x:y z 0A\n 0: 00:1 00:1 0A\n", &[]);
    }

    #[test]
    fn the_proxy_does_not_take_itself_for_the_application() {
        let check = |listening: &[u16], own: &[u16], expected: Option<u16>| {
            let at = |port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            let found = other(listening.iter().map(at).collect(), &own.iter().map(at).collect());
            assert_eq!(found, expected.as_ref().map(at));
        };
        check(&[], &[], None);
        check(&[15001, 15006], &[15006, 15001], None);
        check(&[15001, 8080, 15006], &[15001, 15006], Some(8080));
    }

    /// Other tests of this process listen, too, and come and go.
    #[test]
    fn a_socket_that_listens_is_seen() {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        assert!(listening().unwrap().contains(&address));
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_is_gone_when_it_listens_no_more() {
        let check = async |polls: usize, expected: Duration| {
            let begun = Instant::now();
            let left = Cell::new(polls);
            silent(|| {
                left.set(left.get().saturating_sub(1));
                Ok((left.get() > 0).then_some(([0, 0, 0, 0], 8080).into()))
            })
            .await;
            assert_eq!(begun.elapsed(), expected, "{polls}");
        };
        check(0, AT_LEAST).await;
        check(1, AT_LEAST).await;
        check(9, AT_LEAST + 8 * POLL).await;
    }
}
