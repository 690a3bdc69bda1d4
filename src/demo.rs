//! `outrigger demo`: the whole of Outrigger in one process on loopback. The pods of a directory of manifests go through
//! the real webhook, run with the real proxy, and are told where to go by the real control plane.
//!
//! # Layout
//! `workloads` (what a cluster would make of the manifests) -> `control_plane` (webhook and discovery) -> `sidecars` (pods
//! that run) -> `traffic` (their requests) -> `observe` (who was answered by whom, and what the rules say) -> `table`.

mod control_plane;
mod observe;
mod sidecars;
mod table;
mod traffic;
pub(crate) mod workloads;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::control::directory::{Directory, Fault, events};
use control_plane::ControlPlane;
use observe::Row;
use sidecars::Running;
use table::table;

/// The walk-through, for those who name no directory.
const WALKTHROUGH: [(&str, &str); 3] = [
    (
        "helloworld.yaml",
        include_str!("../docs/walkthrough/helloworld.yaml"),
    ),
    ("curl.yaml", include_str!("../docs/walkthrough/curl.yaml")),
    ("rules.yaml", include_str!("../docs/walkthrough/rules.yaml")),
];

/// What to show.
#[derive(Debug, Clone, Default, Args)]
pub struct DemoArgs {
    /// A directory of manifests; without it, the walk-through's
    directory: Option<PathBuf>,
    /// End after the table, with 0 only if what was seen is what the rules say
    #[arg(long)]
    once: bool,
    /// The path that is asked for
    #[arg(long, default_value = "/hello")]
    path: String,
}

/// Runs the demo on stdout until `shutdown`, or with `--once` until the table has been printed.
///
/// # Errors
/// What could not be started, or that what was seen is not what the rules say.
pub async fn run(args: DemoArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    show(args, shutdown, &mut std::io::stdout()).await
}

/// The same with the output named, for tests.
///
/// # Errors
/// As [`run`].
pub async fn show(
    args: DemoArgs,
    shutdown: CancellationToken,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let temporary = TempDir::with_prefix("outrigger-demo-")?;
    let manifests = match &args.directory {
        Some(directory) => directory.clone(),
        None => walkthrough(temporary.path())?,
    };
    let mut tasks = JoinSet::new();
    let stop = shutdown.child_token();
    let shown = stage(&args, &manifests, temporary.path(), &mut tasks, &stop, out).await;
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    shown
}

async fn stage(
    args: &DemoArgs,
    manifests: &Path,
    files: &Path,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut directory = Directory::new(manifests);
    let first = read(&mut directory)
        .await
        .map_err(|faults| anyhow!("{}", lines(&faults)))?;
    ensure!(
        !first.is_empty(),
        "{}: no Kubernetes object in any .yaml, .yml or .json file",
        manifests.display()
    );
    let (rules, objects): (Vec<Value>, Vec<Value>) = first.into_iter().partition(is_rule);

    let pods = workloads::pods(&objects);
    let services = workloads::services(&objects);
    let destinations = workloads::destinations(&services);
    let control_plane = ControlPlane::start(&pods, files, tasks, stop.clone()).await?;
    let mut known = workloads::namespaces(&objects);
    known.extend(services.clone());
    control_plane.hold(&known).await?;

    let (mut running, mut admitted) = (Vec::new(), Vec::new());
    for pod in pods {
        let after = control_plane
            .admit(&pod)
            .await
            .with_context(|| format!("pod {}/{}", pod.namespace, pod.name))?;
        let added = sidecars::added(&pod.object, &after);
        let ports = workloads::container_ports(&pod, &services);
        let pod = Running::start(pod, &after, &ports, &destinations, &control_plane, tasks, stop).await?;
        known.push(with_address(after, &pod));
        admitted.push(added);
        running.push(pod);
    }
    let served: Vec<_> = running
        .iter()
        .map(|pod| (pod.pod.clone(), pod.served.clone()))
        .collect();
    known.extend(workloads::endpoint_slices(&services, &served));
    control_plane.hold(&known).await?;
    print_pods(out, &running, &admitted).await?;

    let mut rows = observe::rows(&running, &destinations, &args.path);
    observe::ask(&mut rows, &running, &control_plane.reader).await?;
    let before = rows.clone();
    control_plane.hold(known.iter().chain(&rules)).await?;
    observe::ask(&mut rows, &running, &control_plane.reader).await?;
    print_rows(out, &before, &rows, &rules)?;
    let wrong: Vec<String> = before.iter().chain(&rows).filter_map(Row::wrong).collect();
    if args.once {
        ensure!(wrong.is_empty(), "not what the rules say: {}", wrong.join("; "));
        return Ok(());
    }
    wrong.iter().try_for_each(|wrong| writeln!(out, "! {wrong}"))?;
    print_commands(out, &running, &args.path, manifests)?;
    follow(out, &mut directory, &control_plane, &known, stop).await
}

/// Takes changes of the rules in until `stop`; pods are started once.
async fn follow(
    out: &mut (impl Write + Send),
    directory: &mut Directory,
    control_plane: &ControlPlane,
    known: &[Value],
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let read = tokio::select! {
            read = read(directory) => read,
            () = stop.cancelled() => return Ok(()),
        };
        match read {
            Ok(objects) => {
                let rules: Vec<Value> = objects.into_iter().filter(is_rule).collect();
                control_plane.hold(known.iter().chain(&rules)).await?;
                writeln!(
                    out,
                    "read again: {} rules in use; pods and services stay as they were started",
                    rules.len()
                )?;
            }
            Err(faults) => writeln!(out, "{}\nthe last good manifests stay in use", lines(&faults))?,
        }
    }
}

/// The objects of a directory, all of which can be read.
async fn read(directory: &mut Directory) -> Result<Vec<Value>, Vec<Fault>> {
    let documents = directory.next().await?;
    events(&documents)?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}

/// One line each.
fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_rule(object: &Value) -> bool {
    object["apiVersion"]
        .as_str()
        .is_some_and(|version| version.starts_with("networking.istio.io/"))
}

/// The pod as the kubelet would report it.
fn with_address(mut object: Value, running: &Running) -> Value {
    let ip = running.pod.ip.to_string();
    object["metadata"]["uid"] = running.pod.name.clone().into();
    object["status"] = serde_json::json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]});
    object
}

fn walkthrough(directory: &Path) -> anyhow::Result<PathBuf> {
    let directory = directory.join("manifests");
    std::fs::create_dir(&directory)?;
    for (name, text) in WALKTHROUGH {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(directory)
}

async fn print_pods(
    out: &mut (impl Write + Send),
    running: &[Running],
    added: &[Vec<String>],
) -> anyhow::Result<()> {
    let mut rows = vec![["POD", "READY", "ADDED BY THE WEBHOOK"].map(str::to_owned)];
    for (pod, added) in running.iter().zip(added) {
        if let Some(mesh) = &pod.mesh {
            let ready = tokio::time::timeout(observe::PATIENCE, mesh.ready()).await;
            ready.with_context(|| format!("the proxy of {} was not told anything", pod.pod.name))?;
        }
        let added = if added.is_empty() {
            "nothing".to_owned()
        } else {
            added.join(", ")
        };
        rows.push([pod.pod.name.clone(), pod.ready().await, added]);
    }
    Ok(writeln!(out, "{}", table(&rows))?)
}

fn print_rows(out: &mut impl Write, before: &[Row], after: &[Row], rules: &[Value]) -> anyhow::Result<()> {
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| format!("{} {}", text(&rule["kind"]), text(&rule["metadata"]["name"])))
        .collect();
    let mut rows = vec![["CLIENT", "REQUEST", "BEFORE THE RULES", "WITH THE RULES"].map(str::to_owned)];
    for (before, after) in before.iter().zip(after) {
        rows.push([
            before.client.clone(),
            before.url.clone(),
            before.seen(),
            after.seen(),
        ]);
    }
    writeln!(
        out,
        "rules: {}\n\n{}",
        if rules.is_empty() {
            "none".into()
        } else {
            rules.join(", ")
        },
        table(&rows)
    )?;
    Ok(())
}

fn print_commands(
    out: &mut impl Write,
    running: &[Running],
    path: &str,
    manifests: &Path,
) -> anyhow::Result<()> {
    writeln!(out, "try it, each command as one of the pods:")?;
    for pod in running.iter().filter(|pod| !pod.outbound.is_empty()) {
        for (to, address) in pod
            .outbound
            .iter()
            .filter(|(to, _)| observe::is_client(&pod.pod, to))
        {
            let host = observe::host(to);
            writeln!(
                out,
                "  curl --connect-to ::{address} http://{host}:{}{path}   # {}",
                to.port, pod.pod.name
            )?;
        }
    }
    writeln!(
        out,
        "\nedit the rules in {} and ask again; Ctrl-C ends",
        manifests.display()
    )?;
    Ok(out.flush()?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
