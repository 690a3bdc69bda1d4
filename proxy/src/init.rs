//! `outrigger-proxy init`: redirects a pod's TCP connections to its proxy, before the proxy starts.
//! Read on in the order of the path: [`capture`] (what to redirect) -> `rules` (as text for iptables-restore)
//! -> `backend` (which iptables, and running it) -> `saved` (what the kernel has, compared with what was asked).

use std::io::Write as _;

use anyhow::Context as _;
use tracing::info;

pub mod capture;

mod backend;
mod ipv6;
mod lock;
mod rules;
mod saved;

use capture::{Capture, Ports, Ranges};
use rules::{Family, Rules};

/// The flags of `outrigger-proxy init`.
///
/// Lists are comma separated; an empty value is an empty list. What they mean is Istio's `traffic.sidecar.istio.io/*`.
#[derive(Debug, Clone, clap::Args)]
pub struct InitArgs {
    /// User and group id of the proxy, whose own connections are never redirected
    #[arg(long, default_value_t = 1337)]
    pub proxy_uid: u32,
    /// Port to which outgoing connections are redirected
    #[arg(long, default_value_t = 15001, value_parser = clap::value_parser!(u16).range(1..))]
    pub outbound_port: u16,
    /// Port to which incoming connections are redirected
    #[arg(long, default_value_t = 15006, value_parser = clap::value_parser!(u16).range(1..))]
    pub inbound_port: u16,
    /// Ports on which incoming connections go straight to the app; the proxy's own 15020 and 15021 always do
    #[arg(long, value_name = "PORTS", default_value = "")]
    pub exclude_inbound_ports: Ports,
    /// Ports to which outgoing connections go straight
    #[arg(long, value_name = "PORTS", default_value = "")]
    pub exclude_outbound_ports: Ports,
    /// Addresses to which outgoing connections are redirected: CIDRs, or * for all
    #[arg(long, value_name = "CIDRS", default_value = "*")]
    pub include_outbound_ranges: Ranges,
    /// Addresses to which outgoing connections go straight: CIDRs
    #[arg(long, value_name = "CIDRS", default_value = "")]
    pub exclude_outbound_ranges: Ranges,
    /// Print the rules for both address families and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Applies the rules for IPv4, and for IPv6 if the pod has an address of that family, and checks that the kernel has them.
///
/// Running it again (a restarted init container) gives the same result.
///
/// # Errors
/// When no iptables took the rules, or the kernel's rules afterwards are not those asked for; the message names each
/// attempt with its step and output.
pub async fn run(args: InitArgs) -> anyhow::Result<()> {
    let capture = Capture::from(&args);
    if args.dry_run {
        return print(&capture);
    }
    let _lock = lock::acquire().await?;
    backend::install(&Rules::new(&capture, Family::V4)).await?;
    if ipv6::has_address().await? {
        backend::install(&Rules::new(&capture, Family::V6)).await?;
    } else {
        info!("the pod has no IPv6 address beyond loopback and link-local: no IPv6 rules");
    }
    Ok(())
}

fn print(capture: &Capture) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for family in [Family::V4, Family::V6] {
        let text = Rules::new(capture, family).text(&[]);
        write!(stdout, "# {family}\n{text}").context("writing the rules to stdout")?;
    }
    Ok(())
}
