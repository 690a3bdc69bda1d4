//! How a story speaks to the cluster: `kubectl` as a user has it, errors that say what it said, a namespace that goes
//! with the story, and the report of what the pods were doing when a story failed.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// What `kubectl ARGUMENTS` prints to its standard output.
pub(crate) fn kubectl(arguments: &[&str]) -> Result<String> {
    run("kubectl", arguments, "")
}

/// What a program prints to its standard output, given `input`.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    output(program, arguments, input).map(|(printed, _)| printed)
}

/// What a program prints to its standard output and to its standard error, given `input`.
pub(crate) fn output(program: &str, arguments: &[&str], input: &str) -> Result<(String, String)> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    // One that has ended for another reason says so itself.
    let taken = child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    taken.with_context(|| format!("{program} did not read its input"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&output.stdout), text(&output.stderr)))
}

/// Waits until `holds`, and fails with `what` and the last answer when it does not in time.
pub(crate) fn eventually(
    what: &str,
    within: Duration,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let answer = holds();
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            answer.with_context(|| what.to_owned())?;
            bail!("not within {} s: {what}", within.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The path of a file of `docs/walkthrough`, so that what the documentation shows is what is tested.
pub(crate) fn manifest(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "docs/walkthrough", name]
        .iter()
        .collect();
    path.display().to_string()
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

    /// The same, with the label that asks for proxies.
    pub(crate) fn injected(name: &'static str) -> Result<Self> {
        let namespace = Self::create(name)?;
        kubectl(&["label", "namespace", name, "istio-injection=enabled"])?;
        Ok(namespace)
    }

    /// `kubectl -n NAMESPACE ARGUMENTS`.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl(&[&["-n", self.0], arguments].concat())
    }

    /// Applies the objects of a YAML text.
    pub(crate) fn apply(&self, yaml: &str) -> Result<()> {
        run("kubectl", &["-n", self.0, "apply", "-f", "-"], yaml).map(drop)
    }

    /// Applies the walk-through's pods and waits until they run.
    pub(crate) fn walkthrough(&self) -> Result<()> {
        let (servers, clients) = (manifest("helloworld.yaml"), manifest("curl.yaml"));
        self.kubectl(&["apply", "-f", &servers, "-f", &clients])?;
        self.available()
    }

    /// Waits until all Deployments are available.
    pub(crate) fn available(&self) -> Result<()> {
        self.kubectl(&[
            "wait",
            "--for=condition=Available",
            "deployment",
            "--all",
            "--timeout=120s",
        ])
        .map(drop)
    }

    /// What a shell script prints in the container `curl` of a pod, which can be named as `deploy/NAME`.
    pub(crate) fn shell(&self, pod: &str, script: &str) -> Result<String> {
        self.kubectl(&["exec", pod, "-c", "curl", "--", "sh", "-c", script])
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

/// Fails unless the READY column of every pod of a `kubectl get pods` is `expected`.
pub(crate) fn all_ready(pods: &str, expected: &str) -> Result<()> {
    let lines: Vec<_> = pods.lines().filter(|line| !line.starts_with("NAME ")).collect();
    let ready = |line: &&str| line.split_whitespace().nth(1) == Some(expected);
    ensure!(
        !lines.is_empty() && lines.iter().all(ready),
        "not every pod is READY {expected}:\n{pods}"
    );
    Ok(())
}

/// Prints every pod, the events, and the end of the logs of each container, the control plane's among them.
pub(crate) fn report() {
    let show = |arguments: &[&str]| match kubectl(arguments) {
        Ok(text) => println!("--- kubectl {}\n{text}", arguments.join(" ")),
        Err(error) => println!("--- {error:#}"),
    };
    show(&["get", "pods", "-A", "-o", "wide"]);
    show(&["get", "events", "-A", "--sort-by=.lastTimestamp"]);
    let pods = "jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name} \
                {.status.containerStatuses[*].restartCount} {.status.initContainerStatuses[*].restartCount}{\"\\n\"}{end}";
    for line in kubectl(&["get", "pods", "-A", "-o", pods])
        .unwrap_or_default()
        .lines()
    {
        let mut words = line.split_whitespace();
        let (Some(namespace), Some(pod)) = (words.next(), words.next()) else {
            continue;
        };
        // A pod that has never been started has nothing to say, and a story may have a thousand of them.
        let restarts: Vec<_> = words.collect();
        if namespace == "kube-system" || restarts.is_empty() {
            continue;
        }
        let logs = [
            "-n",
            namespace,
            "logs",
            pod,
            "--all-containers",
            "--prefix",
            "--tail=40",
            "--ignore-errors",
        ];
        show(&logs);
        if restarts.iter().any(|restarts| *restarts != "0") {
            show(&[&logs[..], &["--previous"]].concat());
        }
    }
}
