//! `outrigger explain request`: where a client's request would go and by which rule, and why no other rule has it, with the
//! objects of a cluster or of files. Pure in the middle.
//!
//! # Layout
//! `asked` (the command line) -> `source` (the world, and the client in it) -> `answer` (what becomes of the request: the
//! control plane's compiler, and the proxy's matcher) with `place`, `rule` and `destination` -> `page` prints.

mod answer;
mod asked;
mod destination;
mod page;
mod place;
mod rule;
mod source;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use http::Method;

use crate::cli::SettingsArgs;
use crate::manifests;
use crate::settings::Settings;
use asked::{From, Header, Url};

/// Which request.
#[derive(Debug, Args)]
pub struct RequestArgs {
    /// Who asks: a pod, or the labels that it would have, as in app=web,version=v1
    #[arg(long, value_name = "POD|LABELS")]
    from: From,
    /// What for: http://HOST[:PORT]/PATH, https://HOST[:PORT] (TLS that is passed through) or tcp://HOST:PORT
    #[arg(long, value_name = "URL")]
    to: Url,
    /// By which method
    #[arg(short = 'X', long, default_value = "GET")]
    method: Method,
    /// With which headers, as in 'end-user: jason'; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// The client's namespace; without it the kubeconfig's, or `default` for files
    #[arg(short, long)]
    namespace: Option<String>,
    /// A file, a directory or - for standard input with the objects, instead of the cluster's; may be given more than once
    #[arg(short, long)]
    filename: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Whose cluster domain.
    #[command(flatten)]
    settings: SettingsArgs,
}

/// How the explanation is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// The explanation, and why the request would be refused if it would be.
///
/// # Errors
/// What cannot be read, from the cluster or from the files, and a client that is not there.
pub(super) async fn explain(args: &RequestArgs) -> anyhow::Result<(String, Option<String>)> {
    let namespace = args.namespace.as_deref();
    let source = if args.filename.is_empty() {
        let (settings, _) = manifests::settings(&args.settings).await?;
        source::of_cluster(
            &args.from,
            namespace,
            &settings,
            &args.settings.outrigger_namespace,
        )
        .await?
    } else {
        // Files are not to be read otherwise because a cluster happens to answer.
        let given = args.settings.config.is_some() || args.settings.values.is_some();
        let settings = match given {
            true => manifests::settings(&args.settings).await?.0,
            false => Settings::default(),
        };
        let files = manifests::read_all(&args.filename);
        let root = &args.settings.outrigger_namespace;
        source::of_files(files, &args.from, namespace, &settings, root)?
    };
    let request = asked::Request {
        method: args.method.clone(),
        url: args.to.clone(),
        headers: args.headers.clone(),
    };
    let explained = answer::explained(&source, &request)?;
    let refused = (!explained.delivered).then(|| explained.outcome.clone());
    let text = match args.output {
        Output::Text => page::page(&explained),
        Output::Json => serde_json::to_string_pretty(&explained)? + "\n",
    };
    Ok((text, refused))
}
