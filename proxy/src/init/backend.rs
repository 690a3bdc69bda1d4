//! The two iptables, nft and legacy: finds the one to use, applies the rules in one transaction, reads them back.
//! Between `rules` and `saved`.

use std::env;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;
use tracing::{info, warn};

use super::rules::{Family, Rules};
use super::saved::Saved;

/// Where programs are looked for if PATH is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Seconds for which `iptables-restore` waits for another program that changes this pod's rules.
const LOCK_WAIT: &str = "10";

/// What one program may take altogether.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(20);

/// Legacy iptables takes a lock on a file, by default one that it makes in /run, which a read-only root file system
/// does not let it; `lock` does that work here.
const LOCK_FILE: (&str, &str) = ("XTABLES_LOCKFILE", "/dev/null");

/// One of the two programs that speak for the kernel's packet filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Nft,
    Legacy,
}

impl Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        })
    }
}

/// Applies `rules` with the first backend that takes them, and checks the kernel's rules after. The caller holds the lock.
pub(super) async fn install(rules: &Rules) -> anyhow::Result<()> {
    let family = rules.family;
    let mut found = Vec::new();
    let mut tried = Vec::new();
    for backend in [Backend::Nft, Backend::Legacy] {
        match save(backend, family, None).await {
            Ok(saved) => found.push((backend, saved)),
            Err(error) => tried.push(format!("{backend}: {error:#}")),
        }
    }
    for (backend, saved) in in_order(found) {
        match restore(backend, family, &rules.text(&saved.jumps())).await {
            Ok(()) => {
                for attempt in &tried {
                    warn!("{family} rules could not be set by {attempt}");
                }
                verify(backend, rules).await?;
                info!("{family} rules are set and verified with iptables ({backend})");
                return Ok(());
            }
            Err(error) => tried.push(format!("{backend}: {error:#}")),
        }
        if saved.has_ours() {
            // The other backend would come on top of these rules, not instead.
            break;
        }
    }
    bail!(
        "no iptables could set the {family} rules: {}. Check that the init container has the capabilities NET_ADMIN and \
         NET_RAW, that no seccomp or AppArmor profile denies it netlink and raw sockets, and that the node's kernel has \
         nf_nat with xt_REDIRECT and xt_owner (and nft_compat for nft, {} for legacy)",
        tried.join("; "),
        match family {
            Family::V4 => "iptable_nat",
            Family::V6 => "ip6table_nat",
        },
    )
}

/// The order in which backends are tried: where an earlier run left its rules, where there are rules of others, nft.
/// Rules in both would be applied twice by the kernel.
fn in_order(mut found: Vec<(Backend, Saved)>) -> Vec<(Backend, Saved)> {
    found.sort_by_key(|(_, saved)| (!saved.has_ours(), !saved.has_rules()));
    found
}

async fn verify(backend: Backend, rules: &Rules) -> anyhow::Result<()> {
    let saved = save(backend, rules.family, Some("nat")).await?;
    let difference = saved.difference(rules);
    if difference.is_empty() {
        return Ok(());
    }
    bail!(
        "iptables ({backend}) took the {} rules, but the kernel has others: {}. Another program may be changing the \
         nat table of this pod, such as a second init container with iptables of its own",
        rules.family,
        difference.join(", "),
    )
}

/// The rules in `table`, or in every table in use: asking legacy iptables for a table by name makes it.
async fn save(backend: Backend, family: Family, table: Option<&str>) -> anyhow::Result<Saved> {
    let mut command = program(backend, family, "save")?;
    if let Some(table) = table {
        command.args(["-t", table]);
    }
    let output = run(command, "").await?;
    Ok(Saved::parse(&String::from_utf8_lossy(&output.stdout)))
}

/// One transaction: on an error nothing has changed.
async fn restore(backend: Backend, family: Family, text: &str) -> anyhow::Result<()> {
    let mut command = program(backend, family, "restore")?;
    command.args(["--noflush", "--wait", LOCK_WAIT]);
    run(command, text).await.map(drop)
}

/// A command with the absolute name of `iptables-nft-save` and its like.
fn program(backend: Backend, family: Family, action: &str) -> anyhow::Result<Command> {
    let name = format!("{}-{backend}-{action}", family.program());
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from(DEFAULT_PATH));
    let file: PathBuf = env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(&name))
        .find(|file| file.is_file())
        .ok_or_else(|| anyhow!("{name} is in no directory of PATH ({})", path.display()))?;
    let mut command = Command::new(file);
    command.env(LOCK_FILE.0, LOCK_FILE.1);
    Ok(command)
}

/// Runs `command` with `input` and fails with what it wrote to stderr.
async fn run(mut command: Command, input: &str) -> anyhow::Result<Output> {
    let name = command.as_std().get_program().to_owned();
    let name = name.display();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that ends before it has read everything says why on stderr: that is the better error.
            stdin.write_all(input.as_bytes()).await.ok();
        }
    };
    let (_, output) = timeout(PROGRAM_TIMEOUT, async {
        tokio::join!(feed, child.wait_with_output())
    })
    .await
    .with_context(|| format!("{name} did not end within {} s", PROGRAM_TIMEOUT.as_secs()))?;
    let output = output.with_context(|| format!("waiting for {name}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let words: Vec<_> = stderr.split_whitespace().collect();
    bail!(
        "{name} failed ({}): {}",
        output.status,
        words.join(" ").trim_end_matches('.')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nft_is_first_unless_only_legacy_is_in_use() {
        const NONE: &str = "";
        const OTHERS: &str = "-A INPUT -p tcp -j ACCEPT";
        const OURS: &str = "-A OUTPUT -p tcp -j OUTRIGGER_OUTPUT";
        let check = |nft, legacy, expected| {
            let found = [(Backend::Nft, nft), (Backend::Legacy, legacy)];
            let found = found.map(|(backend, output)| (backend, Saved::parse(output)));
            assert_eq!(
                in_order(found.into())[0].0,
                expected,
                "nft has [{nft}], legacy has [{legacy}]"
            );
        };
        check(NONE, NONE, Backend::Nft);
        check(OTHERS, NONE, Backend::Nft);
        check(NONE, OTHERS, Backend::Legacy);
        check(OTHERS, OTHERS, Backend::Nft);
        check(OURS, OTHERS, Backend::Nft);
        check(OTHERS, OURS, Backend::Legacy);
        check(NONE, OURS, Backend::Legacy);
    }

    #[tokio::test]
    async fn a_failing_program_says_why() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read line; echo \"no  $line\" >&2; exit 3"]);
        let error = run(command, "rules\n").await.unwrap_err().to_string();
        assert_eq!(error, "/bin/sh failed (exit status: 3): no rules");

        let error = run(Command::new("/does/not/exist"), "")
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(error, "starting /does/not/exist");
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_is_given_up() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec sleep 600"]);
        let error = run(command, "").await.unwrap_err().to_string();
        assert_eq!(error, "/bin/sh did not end within 20 s");
    }
}
