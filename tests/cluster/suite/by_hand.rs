//! Proxies without a label: `outrigger inject` writes them into the manifests.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::install::outrigger;
use crate::kubectl::{Namespace, all_ready, eventually, manifest, run};
use crate::walkthrough::{followed, hello, in_turn};

/// The walk-through's files and those of the days of Kubernetes 1.14, which no API server takes as they are.
pub(crate) fn by_hand() -> Result<()> {
    outrigger()?;
    for (name, files) in [
        ("by-hand", ["helloworld.yaml", "curl.yaml"]),
        (
            "by-hand-legacy",
            ["kubernetes-1.14/helloworld.yaml", "kubernetes-1.14/curl.yaml"],
        ),
    ] {
        let namespace = Namespace::create(name)?;
        for file in files {
            create(&namespace, &manifest(file)).with_context(|| file.to_owned())?;
        }
        namespace.available()?;
        all_ready(&namespace.kubectl(&["get", "pods"])?, "2/2")?;
        for client in ["curl-deploy", "curl-deploy1"] {
            in_turn(&hello(&namespace, client, 4)?)?;
        }
        namespace.kubectl(&["apply", "-f", &manifest("rules.yaml")])?;
        followed(&namespace)?;
        in_turn(&hello(&namespace, "curl-deploy1", 4)?)?;
        namespace.delete()?;
    }
    Ok(())
}

/// Injects a file as a user does, by process substitution, and checks that a second time changes nothing.
fn create(namespace: &Namespace, file: &str) -> Result<()> {
    let program = program()?;
    // What the controller has: another image, for one.
    let settings = settings()?;
    let inject = [
        "inject",
        "--config",
        settings.path().to_str().context("a path")?,
        "-f",
    ];
    let once = run(&program, &[&inject[..], &[file]].concat(), "")?;
    let twice = run(&program, &[&inject[..], &["-"]].concat(), &once)?;
    ensure!(once == twice, "injected twice, {file} is another:\n{twice}");

    let command = format!(r#"kubectl -n {} create -f <("$@" "{file}")"#, namespace.0);
    let bash = [&["-c", &command, "bash", &program][..], &inject].concat();
    run("bash", &bash, "").map(drop)
}

/// A Deployment that was injected by hand is taken from the cluster, loses its proxy, and goes back.
pub(crate) fn uninject() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::create("by-hand-uninject")?;
    create(&namespace, &manifest("curl.yaml"))?;
    namespace.available()?;
    all_ready(&namespace.kubectl(&["get", "pods"])?, "2/2")?;
    let live = namespace.kubectl(&["get", "deployments,services", "-o", "yaml"])?;
    let without = run(&program()?, &["uninject", "-f", "-"], &live)?;
    // `kubectl apply` keeps what it was given in an annotation, `kubectl create` nothing.
    ensure!(
        !without.contains("outrigger"),
        "uninject has left something of ours:\n{without}"
    );
    run("kubectl", &["-n", namespace.0, "replace", "-f", "-"], &without)?;
    for client in ["deployment/curl-deploy", "deployment/curl-deploy1"] {
        namespace.kubectl(&["rollout", "status", client, "--timeout=60s"])?;
    }
    let running = [
        "get",
        "pods",
        "--field-selector=status.phase=Running",
        "--no-headers",
    ];
    eventually("the pods have no proxy", Duration::from_secs(30), || {
        all_ready(&namespace.kubectl(&running)?, "1/1").map(|()| true)
    })?;
    namespace.delete()
}

/// The path of the command line that was just built.
pub(crate) fn program() -> Result<String> {
    let folder = std::env::var("OUTRIGGER_PROGRAMS")
        .context("OUTRIGGER_PROGRAMS is not set: use tests/cluster/run")?;
    Ok(format!("{folder}/outrigger"))
}

/// The control plane's settings, in a file.
fn settings() -> Result<tempfile::NamedTempFile> {
    let system = Namespace(crate::install::SYSTEM);
    let settings = system.kubectl(&[
        "get",
        "configmap",
        "outrigger",
        "-o",
        "jsonpath={.data.config\\.yaml}",
    ])?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, settings)?;
    Ok(file)
}
