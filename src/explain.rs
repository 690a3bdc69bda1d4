//! `outrigger explain`: of a request in `request`, and here of a pod: why it is or is not injected, what with and who said
//! so, and what iptables will do, of a pod of the cluster or of the workloads of a file. Before it: the command line. In the
//! middle: `inject`, the same that the webhook answers with. After it: `explain::page`, which prints.

mod page;
mod request;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Pod};
use kube::api::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use crate::cli::SettingsArgs;
use crate::control::world;
use crate::inject::{self, Chosen, Injected, Injection, Namespace, Reason, Refusal};
use crate::manifests;
use crate::settings::Settings;

/// What is to be explained.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// What.
    #[command(subcommand)]
    pub what: What,
}

/// What can be explained.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Why a pod is or is not injected, and what with
    #[command(
        after_help = "Examples:\n  outrigger explain pod web-7c9f -n shop\n  outrigger explain pod -f app.yaml"
    )]
    Pod(PodArgs),
    /// Where a request goes and by which rule, and why no other rule has it
    #[command(
        after_help = "Examples:\n  outrigger explain request --from curl-7c9f --to http://helloworld:5000/hello -H 'end-user: jason'\n  \
                      outrigger explain request --from app=curl --to http://helloworld:5000/hello -f docs/walkthrough\n\n\
                      Ends with 1 if the request would be refused, or answered with 404 or 503 by the mesh, so that it can gate a change."
    )]
    Request(Box<request::RequestArgs>),
}

/// Which pod.
#[derive(Debug, Args)]
pub struct PodArgs {
    /// The name of a pod of the cluster
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    pub name: Option<String>,
    /// The namespace of the pod; without it the kubeconfig's
    #[arg(short, long, conflicts_with = "filename")]
    pub namespace: Option<String>,
    /// A file, a directory or - for standard input, whose workloads to explain instead, as if their namespaces asked for
    /// proxies; may be given more than once
    #[arg(short, long)]
    pub filename: Vec<PathBuf>,
    /// By whose settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// All there is to say about one pod or template.
pub(crate) struct Explained {
    /// Kind, namespace and name.
    title: String,
    /// What it was injected with before, if it was.
    before: Option<Injected>,
    /// What would be done today.
    today: Result<Injection, Refusal>,
    /// What it would get, each value with where it came from; nothing if it would not be injected.
    chosen: Vec<Chosen>,
    /// Every rule in its order, and whether it holds.
    rules: Vec<(Reason, bool)>,
}

/// The explanation as text, and what is to be told as a failure after it: why a request would be refused.
///
/// # Errors
/// What cannot be read, from the cluster or from the file.
pub async fn explain(args: &ExplainArgs) -> anyhow::Result<(String, Option<String>)> {
    match &args.what {
        What::Pod(args) => Ok((pods(args).await?, None)),
        What::Request(args) => request::explain(args).await,
    }
}

async fn pods(args: &PodArgs) -> anyhow::Result<String> {
    let (settings, source) = manifests::settings(&args.settings).await?;
    let mut text = format!("settings: {source}\n");
    let explained = match &args.name {
        Some(name) => vec![of_cluster(args.namespace.as_deref(), name, &settings).await?],
        None => of_files(&args.filename, &settings)?,
    };
    ensure!(
        !explained.is_empty(),
        "there is no workload in what --filename names"
    );
    for explained in &explained {
        text.push('\n');
        text += &page::page(explained);
    }
    Ok(text)
}

fn of_files(files: &[PathBuf], settings: &Settings) -> anyhow::Result<Vec<Explained>> {
    let mut explained = vec![];
    for (name, text) in manifests::read_all(files) {
        let text = text.with_context(|| name.clone())?;
        let pods = inject::manifest::pods(&text, settings).with_context(|| name.clone())?;
        explained.extend(pods.into_iter().map(|pod| {
            let namespace = Namespace {
                name: &pod.namespace,
                labels: &pod.namespace_labels,
                uid_range: None,
            };
            of(pod.title, &pod.value, &namespace, settings)
        }));
    }
    Ok(explained)
}

async fn of_cluster(namespace: Option<&str>, name: &str, settings: &Settings) -> anyhow::Result<Explained> {
    let client = Client::try_default().await.context("find the API server")?;
    let namespace = namespace.unwrap_or(client.default_namespace()).to_owned();
    // As the API server has it: a typed pod would lack fields that this version does not know.
    let kind = kube::api::ApiResource::erase::<Pod>(&());
    let pods: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &kind);
    let pod = pods
        .get(name)
        .await
        .with_context(|| format!("pod {namespace}/{name}"))?;
    let found = Api::<KubeNamespace>::all(client)
        .get(&namespace)
        .await
        .with_context(|| format!("namespace {namespace}"))?;
    let found = world::Namespace::from(found.metadata);
    let title = format!("Pod {namespace}/{}", pod.name_any());
    let value = serde_json::to_value(&pod)?;
    Ok(of(title, &value, &(&found).into(), settings))
}

/// A pod that was injected before is explained as if it had not been.
fn of(title: String, pod: &Value, namespace: &Namespace, settings: &Settings) -> Explained {
    let before = inject::injected(pod).ok().flatten();
    let mut original = pod.clone();
    if let Ok(Some(undo)) = inject::undo(pod) {
        undo.apply(&mut original);
    }
    let today = inject::inject(&original, namespace, settings);
    let chosen = match &today {
        Ok(injection) if injection.reason.injects() => inject::chosen(&original, namespace, settings),
        _ => Ok(vec![]),
    };
    Explained {
        title,
        before,
        today,
        chosen: chosen.unwrap_or_default(),
        rules: inject::rules(&original, namespace, settings).unwrap_or_default(),
    }
}
