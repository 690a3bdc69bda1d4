//! `outrigger-proxy init --verify`: where something else sets up the redirection (an agent on the node, a CNI plugin),
//! this proves it before the application starts, without a privilege: a connection out of the pod has to arrive here.
//! `target` says where to connect to; the kernel's word on where it was meant to go comes from
//! [`listen`](crate::listen).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::info;

use super::addresses;
use super::args::InitArgs;
use super::capture::Interfaces;
use super::rules::Family;
use crate::listen::{self, OriginalDestination};

mod target;

/// From one attempt to the next.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Ends well once a connection of each family that the pod has, and of which anything is redirected, has arrived.
pub(super) async fn run(args: &InitArgs) -> anyhow::Result<()> {
    refuse_user_of_proxy(args)?;
    let mut pending = Vec::new();
    for family in [Family::V4, Family::V6] {
        let loopback: IpAddr = match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        if !addresses::any(family).await? {
            info!("the pod has no {family} address that others reach: nothing to verify");
        } else if let Some(target) = target::of(args, family) {
            let listener = listen::bind((loopback, args.outbound_port).into())?;
            pending.push((family, target, listener));
        } else {
            info!("no outgoing {family} connection is to be redirected: nothing to verify");
        }
    }
    let limit = Duration::from_secs(args.verify_seconds);
    let deadline = Instant::now() + limit;
    for (family, target, listener) in pending {
        let at = listener.local_addr()?;
        info!("waiting up to {limit:?} until outgoing {family} connections are redirected to {at}");
        if let Err(last) = arrival(listener, OriginalDestination::Redirected, target, deadline).await {
            bail!("{}", failure(args, family, target, at, &last));
        }
        info!("outgoing {family} connections are redirected: one to {target} arrived at {at}");
    }
    Ok(())
}

/// The proxy's own connections are never redirected, so as its user nothing could be proved.
fn refuse_user_of_proxy(args: &InitArgs) -> anyhow::Result<()> {
    let own = std::fs::metadata("/proc/self").context("reading the own user id from /proc/self")?;
    if own.uid() == args.proxy_uid || own.gid() == args.proxy_uid {
        bail!(
            "--verify runs as user {} and group {}, and {} is the proxy's, whose connections are never redirected: run it \
             as another user and group (securityContext.runAsUser and runAsGroup of this init container)",
            own.uid(),
            own.gid(),
            args.proxy_uid
        );
    }
    Ok(())
}

/// Connects to `target` again and again until such a connection arrives at `listener`.
///
/// # Errors
/// What became of the last attempt, if none has arrived by `deadline`.
async fn arrival(
    listener: TcpListener,
    original: OriginalDestination,
    target: SocketAddr,
    deadline: Instant,
) -> Result<(), String> {
    let (sender, mut arrivals) = mpsc::unbounded_channel();
    // Dropped, and so ended, with this function.
    let mut accepting = JoinSet::new();
    accepting.spawn(listen::accept(listener, original, move |arrived| {
        sender.send(arrived.map(|connection| connection.destination)).ok();
    }));
    loop {
        let next = Instant::now() + ATTEMPT;
        let connected = timeout_at(next, TcpStream::connect(target)).await;
        let last = match (timeout_at(next, arrivals.recv()).await, connected) {
            (Ok(Some(Ok(destination))), _) if destination == target => return Ok(()),
            (Ok(Some(Ok(destination))), _) => format!("one to {destination} arrived instead"),
            (Ok(Some(Err(refused))), _) => refused.to_string(),
            (_, Ok(Ok(_))) => "it was answered, but not here".to_owned(),
            (_, Ok(Err(error))) => error.to_string(),
            (_, Err(_)) => format!("no answer within {ATTEMPT:?}"),
        };
        sleep_until(next).await;
        if next >= deadline {
            return Err(last);
        }
    }
}

/// For a person who reads it in the log of an init container that did not end well.
fn failure(args: &InitArgs, family: Family, target: SocketAddr, at: SocketAddr, last: &str) -> String {
    let interfaces = if args.exclude_interfaces == Interfaces::default() {
        String::new()
    } else {
        format!(
            ", that {target} is not reached over one of the excluded interfaces ({})",
            args.exclude_interfaces
        )
    };
    format!(
        "outgoing {family} connections of this pod are not redirected to its proxy: a connection to {target} did not \
         arrive at {at} within {} s (last attempt: {last}). This container sets up no iptables itself (--verify); an agent \
         on the node or a CNI plugin has to: check that it runs on this node and covers this pod{interfaces}. The rules \
         that are needed are printed by `outrigger-proxy {} --dry-run`. The application is not started, because its \
         traffic would bypass the mesh",
        args.verify_seconds,
        InitArgs {
            verify: false,
            verify_seconds: InitArgs::default().verify_seconds,
            ..args.clone()
        }
        .to_args()
        .join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = listen::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_connection_that_arrives_with_its_destination_is_the_proof() {
        let (listener, target) = listener().await;
        let redirected = OriginalDestination::Fixed(target);
        assert_eq!(
            arrival(listener, redirected, target, Instant::now()).await,
            Ok(())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn anything_else_is_none() {
        let (listener, target) = listener().await;
        let other: SocketAddr = "192.0.2.9:9".parse().unwrap();
        let last = arrival(
            listener,
            OriginalDestination::Fixed(other),
            target,
            Instant::now(),
        )
        .await;
        assert_eq!(last, Err("one to 192.0.2.9:9 arrived instead".to_owned()));

        let (listener, target) = self::listener().await;
        let last = arrival(listener, OriginalDestination::Redirected, target, Instant::now()).await;
        assert_eq!(
            last,
            Err(format!(
                "{target} was dialled directly; it is for redirected connections only"
            ))
        );

        let (listener, _) = self::listener().await;
        let (elsewhere, target) = self::listener().await;
        let last = arrival(listener, OriginalDestination::Redirected, target, Instant::now()).await;
        assert_eq!(last, Err("it was answered, but not here".to_owned()));
        drop(elsewhere);

        let (listener, _) = self::listener().await;
        let last = arrival(listener, OriginalDestination::Redirected, target, Instant::now()).await;
        assert_eq!(last, Err("Connection refused (os error 111)".to_owned()));
    }

    #[test]
    fn a_failure_says_what_to_look_at_and_which_rules_are_needed() {
        let args = InitArgs {
            exclude_interfaces: "net1".parse().unwrap(),
            verify: true,
            verify_seconds: 7,
            ..InitArgs::default()
        };
        let text = failure(
            &args,
            Family::V4,
            "192.0.2.1:9".parse().unwrap(),
            "127.0.0.1:15001".parse().unwrap(),
            "no answer within 1s",
        );
        for part in [
            "a connection to 192.0.2.1:9 did not arrive at 127.0.0.1:15001 within 7 s (last attempt: no answer within 1s)",
            "not reached over one of the excluded interfaces (net1)",
            "`outrigger-proxy init --proxy-uid=1337 --outbound-port=15001 --inbound-port=15006 --exclude-interfaces=net1 --dry-run`",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
