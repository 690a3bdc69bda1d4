//! How a story speaks to the cluster: `kubectl` as a user has it, errors that say what it said, a namespace that goes
//! with the story, and the report of what the pods were doing when a story failed.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// What `kubectl ARGUMENTS` prints to its standard output.
pub(crate) fn kubectl(arguments: &[&str]) -> Result<String> {
    kubectl_with(arguments, "")
}

/// Applies the objects of a YAML text.
pub(crate) fn apply(namespace: &str, yaml: &str) -> Result<()> {
    kubectl_with(&["-n", namespace, "apply", "-f", "-"], yaml).map(drop)
}

/// The path of a file of `docs/walkthrough`, so that what the documentation shows is what is tested.
pub(crate) fn manifest(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "docs/walkthrough", name]
        .iter()
        .collect();
    path.display().to_string()
}

fn kubectl_with(arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("kubectl is not on the PATH")?;
    child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(input.as_bytes())
        .context("kubectl did not read its input")?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A namespace of one story, deleted when the story is told. One that failed stays for whoever looks at it.
pub(crate) struct Namespace(pub(crate) &'static str);

impl Namespace {
    /// Creates it anew: what an earlier run left under this name goes first.
    pub(crate) fn create(name: &'static str) -> Result<Self> {
        kubectl(&[
            "delete",
            "namespace",
            name,
            "--ignore-not-found",
            "--wait",
            "--timeout=60s",
        ])?;
        kubectl(&["create", "namespace", name])?;
        Ok(Self(name))
    }

    /// `kubectl -n NAMESPACE ARGUMENTS`.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl(&[&["-n", self.0], arguments].concat())
    }

    /// Waits until a Job has ended, and fails when it did not complete.
    pub(crate) fn complete(&self, job: &str) -> Result<()> {
        let job = format!("job/{job}");
        self.kubectl(&[
            "wait",
            "--for=jsonpath={.status.conditions}",
            &job,
            "--timeout=90s",
        ])?;
        let ended = self.kubectl(&[
            "get",
            &job,
            "-o",
            "jsonpath={.status.conditions[*].type}: {.status.conditions[*].message}",
        ])?;
        ensure!(
            !ended.contains("Fail"),
            "{job} of namespace {} has failed: {ended}",
            self.0
        );
        self.kubectl(&["wait", "--for=condition=Complete", &job, "--timeout=60s"])
            .map(drop)
    }

    /// Deletes it and everything in it, without waiting for the pods to end.
    pub(crate) fn delete(self) -> Result<()> {
        kubectl(&["delete", "namespace", self.0, "--wait=false"]).map(drop)
    }
}

/// Prints every pod, its events, and the end of the logs of each of its containers where a pod is not in order.
pub(crate) fn report() {
    let show = |arguments: &[&str]| match kubectl(arguments) {
        Ok(text) => println!("--- kubectl {}\n{text}", arguments.join(" ")),
        Err(error) => println!("--- {error:#}"),
    };
    show(&["get", "pods", "-A", "-o", "wide"]);
    show(&["get", "events", "-A", "--sort-by=.lastTimestamp"]);
    let pods = "jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{\"\\n\"}{end}";
    for line in kubectl(&["get", "pods", "-A", "-o", pods])
        .unwrap_or_default()
        .lines()
    {
        if let Some((namespace, pod)) = line.split_once(' ')
            && namespace != "kube-system"
        {
            show(&[
                "-n",
                namespace,
                "logs",
                pod,
                "--all-containers",
                "--prefix",
                "--tail=40",
                "--ignore-errors",
            ]);
        }
    }
}
