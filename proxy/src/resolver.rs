//! Asks DNS for the names of endpoints, when they come and every half minute, as long as they are used. What it learns goes
//! into `mesh`, whose last good answers stay in use while DNS does not answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, timeout};

use crate::mesh::Mesh;

/// How old an answer may get. The operating system's resolver does not say for how long one is good.
const AGE: Duration = Duration::from_secs(30);
/// How soon a name that has no answer is asked for again.
const RETRY: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);
/// Names that are asked for at a time.
const AT_A_TIME: usize = 8;

/// The operating system's resolver, by way of the proxy's own `/etc/resolv.conf`.
///
/// # Errors
/// What it says, for instance that there is no such name.
pub async fn lookup(name: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Resolves for ever.
pub async fn run<F: Future<Output = io::Result<Vec<IpAddr>>>>(mesh: Mesh, lookup: impl Fn(String) -> F) {
    let changes = mesh.names_changed();
    let mut due: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let wanted = mesh.names_to_resolve();
        due.retain(|name, _| wanted.contains(name));
        let now = Instant::now();
        let asked: Vec<String> = wanted
            .into_iter()
            .filter(|name| due.get(name).is_none_or(|at| *at <= now))
            .collect();
        let answers = asked.into_iter().map(|name| {
            let asking = timeout(ANSWER, lookup(name.clone()));
            async move { (name, asking.await.map_err(io::Error::from).flatten()) }
        });
        let mut answers = futures::stream::iter(answers).buffer_unordered(AT_A_TIME);
        while let Some((name, answer)) = answers.next().await {
            let again = match answer {
                Ok(addresses) if !addresses.is_empty() => {
                    mesh.resolved(&name, Some(addresses));
                    AGE
                }
                other => {
                    let error = other
                        .err()
                        .map_or("no address".to_owned(), |error| error.to_string());
                    tracing::warn!(name, error, "an endpoint's name is not resolved");
                    match mesh.resolved(&name, None) {
                        true => AGE,
                        false => RETRY,
                    }
                }
            };
            due.insert(name, Instant::now() + again);
        }
        let next = due.values().min().copied();
        tokio::select! {
            () = changes.notified() => {}
            () = async { match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            } } => {}
        }
    }
}
