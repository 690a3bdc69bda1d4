//! `outrigger check`: whether a cluster is ready for Outrigger, whether Outrigger is well in it, and which running pods do
//! not have the proxy that they should have.
//!
//! # Layout
//! `cluster` reads -> `kubernetes`, `webhooks`, `installation` and [`crate::audit`] judge, all pure -> `verdict`s ->
//! `report` prints them. `installed` is the part that needs an installation.

mod certificates;
mod cluster;
mod installation;
mod installed;
mod kubernetes;
mod namespaces;
mod report;
mod rules;
mod verdict;
mod webhooks;

use std::io::{IsTerminal, Write};

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::api::IstioKind;
use crate::audit::{NOT_ENDED, audit};
use crate::inject::Owner;
use crate::settings::Settings;
use crate::trust::Names;
use cluster::{Cluster, Read};
use installed::Installed;
use namespaces::{Labelled, Namespaces};
use report::{Pod, Report};
use verdict::Verdict;

/// What to check.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Check whether the cluster is ready for an install
    #[arg(long)]
    pub pre: bool,
    /// Audit the pods of this namespace only
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// The installation of this revision
    #[arg(long, default_value = "outrigger")]
    pub revision: String,
    /// The namespace of the control plane
    #[arg(long, default_value = "outrigger-system")]
    pub system_namespace: String,
    /// How to print what was found
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How the report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For scripts: `{"checks": […], "pods": […]}`.
    Json,
}

/// Checks, and prints the report.
///
/// # Errors
/// That a check failed or a pod was found, after the report was printed; or that the API server cannot be asked.
pub async fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let report = check(args, &Cluster::connect().await?).await?;
    let mut out = std::io::stdout();
    match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        Output::Text => {
            let coloured =
                out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            out.write_all(report.text(coloured).as_bytes())?;
        }
    }
    match report.problems() {
        None => Ok(()),
        Some(problems) => bail!(problems),
    }
}

async fn check(args: &CheckArgs, cluster: &Cluster) -> anyhow::Result<Report> {
    let mut checks = vec![];
    let version = cluster.get("/version").await?;
    checks.push(judge("kubernetes_version", &version, |info| {
        kubernetes::version(info.as_ref().unwrap_or(&Value::Null))
    }));
    let names = Names::of(&args.revision);
    let mut settings = match args.pre {
        true => Settings::default(),
        false => settings(args, cluster, &names, &mut checks).await?,
    };
    // Where nobody says, the controller decides by the API server's version, and the audit has to decide likewise.
    let info = version.as_ref().ok().and_then(Option::as_ref);
    let by_version = || info.is_none_or(kubernetes::knows_native_sidecars);
    let native = *settings.proxy.native_sidecar.get_or_insert_with(by_version);
    let nodes = cluster.list("/api/v1/nodes", "").await?;
    checks.push(judge("kubelet_versions", &nodes, |nodes| {
        kubernetes::kubelets(nodes, native)
    }));
    for name in IstioKind::ALL.map(IstioKind::custom_resource) {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let found = cluster.get(&path).await?;
        checks.push(judge("custom_resources", &found, |found| {
            kubernetes::custom_resource(&name, found.as_ref(), !args.pre)
        }));
    }
    if args.pre {
        checks.push(kubernetes::permissions(
            &denied(cluster, &args.system_namespace).await?,
        ));
    }
    let namespaces = cluster.list("/api/v1/namespaces", "").await?;
    let namespaces = namespaces.map(|listed| Namespaces::new(&listed));
    let enabled = match &namespaces {
        Ok(namespaces) => namespaces.enabled(&settings.injection),
        Err(_) => Labelled::default(),
    };
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let configurations = cluster.list(path, "").await?;
    checks.push(judge("other_meshes", &configurations, |found| {
        webhooks::other_meshes(found, &enabled)
    }));
    if args.pre {
        return Ok(Report { checks, pods: vec![] });
    }
    let installed = Installed {
        args,
        cluster,
        names: &names,
        settings: &settings,
        namespaces: &namespaces,
        enabled: &enabled,
        configurations: &configurations,
    };
    installed.check(&mut checks).await?;
    checks.extend(rules_of(cluster).await?);
    let pods = match &namespaces {
        Ok(namespaces) => pods(args, cluster, &settings, namespaces, &mut checks).await?,
        Err(why) => {
            checks.push(Verdict::unknown("pods", why));
            vec![]
        }
    };
    Ok(Report { checks, pods })
}

/// The settings that the controller reads.
async fn settings(
    args: &CheckArgs,
    cluster: &Cluster,
    names: &Names,
    checks: &mut Vec<Verdict>,
) -> anyhow::Result<Settings> {
    let (own, name) = (&args.system_namespace, &names.installation);
    let object = format!("ConfigMap {own}/{name}");
    let found = cluster
        .get(&format!("/api/v1/namespaces/{own}/configmaps/{name}"))
        .await?;
    let (verdict, settings) = match found {
        Ok(found) => installation::settings(found.as_ref(), &object, own),
        Err(why) => (
            Verdict::unknown("settings", &why),
            installation::settings(None, &object, own).1,
        ),
    };
    checks.push(verdict);
    Ok(settings)
}

/// What is wrong with the rules, as their statuses say.
async fn rules_of(cluster: &Cluster) -> anyhow::Result<Vec<Verdict>> {
    let mut found = vec![];
    for (kind, resource) in cluster.served().await? {
        let path = format!("/apis/{}/{}", resource.api_version, resource.plural);
        match cluster.get(&path).await? {
            // Without the kind there is no object of it.
            Ok(list) => {
                found.extend(list.and_then(|list| Some((kind.name(), list["items"].as_array()?.clone()))))
            }
            Err(why) => return Ok(vec![Verdict::unknown("rules", &why)]),
        }
    }
    Ok(rules::rules(&found))
}

/// The audit of all running pods.
async fn pods(
    args: &CheckArgs,
    cluster: &Cluster,
    settings: &Settings,
    namespaces: &Namespaces,
    checks: &mut Vec<Verdict>,
) -> anyhow::Result<Vec<Pod>> {
    let path = match &args.namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
        None => "/api/v1/pods".to_owned(),
    };
    let (mut pages, mut found, mut count) = (cluster.pages(&path, NOT_ENDED), vec![], 0);
    loop {
        let page = match pages.next().await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                checks.push(Verdict::unknown("pods", &status.message));
                return Ok(found);
            }
            Err(error) => return Err(anyhow::Error::from(error).context("list the pods")),
        };
        count += page.len();
        found.extend(page.iter().filter_map(|pod| {
            let namespace = namespace_of(pod);
            let finding = audit(pod, &namespaces.get(&namespace)?.into(), settings)?;
            Some(Pod::new(
                namespace,
                kubernetes::name(pod),
                Owner::of(pod),
                finding,
            ))
        }));
    }
    if found.is_empty() {
        let words = format!("{count} running pods are as the rules say");
        checks.push(Verdict::ok("pods", words));
    }
    Ok(found)
}

/// The verdict on what was read, or that it may not be read.
fn judge<T>(check: &'static str, read: &Read<T>, verdict: impl FnOnce(&T) -> Verdict) -> Verdict {
    match read {
        Ok(found) => verdict(found),
        Err(why) => Verdict::unknown(check, why),
    }
}

async fn denied(cluster: &Cluster, own: &str) -> anyhow::Result<Vec<String>> {
    let mut denied = vec![];
    for (group, resource, within) in kubernetes::CREATED_BY_CHART {
        let namespace = within.then_some(own);
        if !cluster.may_create(group, resource, namespace).await? {
            denied.push(match namespace {
                Some(namespace) => format!("{resource} in {namespace}"),
                None => resource.to_owned(),
            });
        }
    }
    Ok(denied)
}

fn namespace_of(object: &Value) -> String {
    object["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests;
