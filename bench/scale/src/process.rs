//! A process that is measured: started on a processor of its own where there are several, spoken to in `lines`, looked at in
//! /proc.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::cluster::Cluster;

/// What nothing that works takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Linux says times in hundredths of a second.
const TICKS: f64 = 100.0;

/// Ends when it is dropped.
pub(crate) struct Process {
    pid: u32,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Process {
    /// This program once more, with another subcommand.
    pub(crate) fn start(subcommand: &str, cluster: Cluster, processor: usize) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let processors = std::thread::available_parallelism()?.get();
        let mut command = match processors > 1 {
            true => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &processor.to_string()]).arg(program);
                command
            }
            false => Command::new(program),
        };
        let mut child = command
            .arg(subcommand)
            .args(["--services", &cluster.services.to_string()])
            .args(["--proxies", &cluster.proxies.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {subcommand} (taskset is in util-linux)"))?;
        Ok(Self {
            // taskset becomes the program, so that the id is the program's.
            pid: child.id().context("it has ended")?,
            input: child.stdin.take().context("no standard input")?,
            output: BufReader::new(child.stdout.take().context("no standard output")?).lines(),
            _child: child,
        })
    }

    pub(crate) async fn say<T: Serialize>(&mut self, value: &T) -> anyhow::Result<()> {
        let line = serde_json::to_string(value)? + "\n";
        self.input.write_all(line.as_bytes()).await?;
        Ok(self.input.flush().await?)
    }

    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line());
        let line = line
            .await
            .with_context(|| format!("no answer within {PATIENCE:?}"))??
            .ok_or_else(|| anyhow!("the process ended"))?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }

    pub(crate) async fn ask<T: Serialize, A: DeserializeOwned>(&mut self, value: &T) -> anyhow::Result<A> {
        self.say(value).await?;
        self.hear().await
    }

    /// Resident bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("no VmRSS")?.trim().parse::<u64>()? * 1024)
    }

    /// Seconds of processor time until now.
    pub(crate) fn processor_time(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name before may have blanks in it. proc_pid_stat(5): utime and stime are the fields 14 and 15.
        let (_, rest) = stat.rsplit_once(')').context("no name")?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        let field = |index: usize| {
            fields
                .get(index - 3)
                .context("too short")?
                .parse::<f64>()
                .context("no number")
        };
        Ok((field(14)? + field(15)?) / TICKS)
    }
}
