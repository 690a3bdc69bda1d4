//! `outrigger-proxy init`: redirects a pod's TCP connections to its proxy, before the proxy starts.
//! Read on in the order of the path: [`InitArgs`] of [`capture`]'s types (what to redirect) -> `rules` (as text for
//! iptables-restore) -> `backend` (which iptables, and running it) -> `saved` (what the kernel has, compared with what
//! was asked). Beside it: `verify` (the redirection is set up by something else, and only proved).

use std::io::Write as _;

use anyhow::Context as _;
use tracing::info;

pub mod capture;

mod addresses;
mod args;
mod backend;
mod lock;
mod rules;
mod saved;
mod verify;

pub use args::InitArgs;
pub use rules::Family;
use rules::Rules;

/// Applies the rules for IPv4, and for IPv6 if the pod has an address of that family, and checks that the kernel has them.
/// Or, as the flags say, prints them, or proves that something else has set them up.
///
/// Running it again (a restarted init container) gives the same result.
///
/// # Errors
/// When no iptables took the rules, or the kernel's rules afterwards are not those asked for; the message names each
/// attempt with its step and output. With `--verify`, when no connection out of the pod arrived in time.
pub async fn run(args: InitArgs) -> anyhow::Result<()> {
    if args.dry_run {
        return print(&args);
    }
    if args.verify {
        return verify::run(&args).await;
    }
    let _lock = lock::acquire().await?;
    backend::install(&Rules::new(&args, Family::V4)).await?;
    if addresses::any(Family::V6).await? {
        backend::install(&Rules::new(&args, Family::V6)).await?;
    } else {
        info!("the pod has no IPv6 address beyond loopback and link-local: no IPv6 rules");
    }
    Ok(())
}

/// What `iptables-restore --noflush` is given for each family in a pod in which no earlier run left anything, as
/// `--dry-run` prints it.
pub fn rules(args: &InitArgs) -> [(Family, String); 2] {
    [Family::V4, Family::V6].map(|family| (family, Rules::new(args, family).text(&[])))
}

fn print(args: &InitArgs) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for (family, text) in rules(args) {
        write!(stdout, "# {family}\n{text}").context("writing the rules to stdout")?;
    }
    Ok(())
}
