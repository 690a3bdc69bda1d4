//! Discovery over a directory of manifests, without a cluster: proxies of a benchmark get what the control plane publishes.
//! Each Pod of the manifests gets a token file; a token is the pod's name, so this is for a network namespace of one's own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use clap::Parser;
use outrigger::control::directory::{Directory, Document, events};
use outrigger::control::discovery::{self, Authenticate};
use outrigger::control::feed::Feed;
use outrigger::control::world::World;
use outrigger::serve::{Limits, serve};
use outrigger::settings::Settings;
use outrigger_certs::{Authority, Request, ServingCertificate};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A benchmark is over sooner.
const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Parser)]
struct Args {
    /// The manifests
    directory: PathBuf,
    /// Where ca.pem and a file NAMESPACE.NAME.token for each pod are written
    files: PathBuf,
    /// Where discovery listens
    #[arg(long, default_value = "127.0.0.1:15012")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // The process's default, which other parts of rustls than the server's own configuration take.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = Args::parse();
    let documents = Directory::new(&args.directory).next().await.map_err(faults)?;
    let tokens = tokens(&documents, &args.files)?;

    let (settings, shutdown) = (Settings::default(), CancellationToken::new());
    let (feed, sender, reader) = Feed::new(World::new(settings.cluster_domain, settings.mesh_ranges));
    let feed = tokio::spawn(feed.run(shutdown.clone()));
    for event in events(&documents).map_err(faults)? {
        sender.send(event).await?;
    }
    let mut world = reader.world.clone();
    world.wait_for(World::synced).await?;
    drop(world);

    let (tls, now) = (Arc::new(ServingCertificate::default()), SystemTime::now());
    let authority = Authority::generate("outrigger-bench", VALIDITY, now)?;
    let names = Request {
        dns_names: Vec::new(),
        ips: vec![args.listen.ip()],
    };
    tls.replace(authority.issue(&names, VALIDITY, now)?)?;
    let config = Arc::new(outrigger_certs::server_config(tls)?);
    let router = discovery::router(
        reader,
        Authenticate::tokens(tokens),
        &mut Registry::default(),
        shutdown.clone(),
    );
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| args.listen.to_string())?;
    // Written last: whoever sees it may connect.
    std::fs::write(args.files.join("ca.pem"), authority.certificate_pem())?;
    serve(listener, config, router, Limits::default(), shutdown).await?;
    feed.await?
}

/// A token for each pod, in a file of its own.
fn tokens(documents: &[Document], files: &Path) -> anyhow::Result<BTreeMap<String, (String, String)>> {
    let mut tokens = BTreeMap::new();
    for document in documents
        .iter()
        .filter(|document| document.value["kind"] == "Pod")
    {
        let text = |field: &str| document.value["metadata"][field].as_str().map(str::to_owned);
        let (namespace, name) = text("namespace")
            .zip(text("name"))
            .with_context(|| format!("{}:{}: a Pod without a name", document.file, document.line))?;
        let token = format!("{namespace}.{name}");
        std::fs::write(files.join(format!("{token}.token")), &token)?;
        tokens.insert(token, (namespace, name));
    }
    Ok(tokens)
}

fn faults(faults: Vec<impl std::fmt::Display>) -> anyhow::Error {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    anyhow!(lines.join("\n"))
}
