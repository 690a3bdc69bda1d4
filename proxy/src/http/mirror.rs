//! Copies of requests for a route's mirrors: sent beside the request, without a second look at what comes of them.
//! Before it: `forward`; after it: `tries`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use super::access::Record;
use super::failed::Failed;
use super::headers;
use super::limits::Limits;
use super::repeat::Repeat;
use super::tries::{To, Tries};
use crate::balance::{self, Cluster};
use crate::body::{Body, copied};
use crate::message::Request;
use crate::metrics::Metrics;
use crate::route::{Facts, Route, Target, authority};

/// How long a mirror may take for a whole response, unless the route says.
const LIMIT: Duration = Duration::from_secs(60);
/// Copies under way at a time, of all routes: a mirror that does not keep up must not fill the proxy's memory.
static UNDER_WAY: Semaphore = Semaphore::const_new(256);

/// Sends copies of the request to those of the route's mirrors whose turn it is; gives back the body, which is copied
/// while it is sent.
pub(super) fn mirror(
    route: &Route,
    request: &Request,
    body: Body,
    facts: &Facts<'_>,
    metrics: &Arc<Metrics>,
) -> Body {
    let mut mirrors = Vec::new();
    for mirror in &route.mirrors {
        let Target::Cluster(cluster) = &mirror.backend.target else {
            continue;
        };
        if !mirror.share.has(balance::random()) {
            continue;
        }
        match UNDER_WAY.try_acquire() {
            Ok(permit) => mirrors.push((mirror, cluster, permit)),
            Err(_) => {
                metrics.mirror_failed();
                tracing::debug!(
                    cluster = cluster.name(),
                    "not mirrored: too many copies are under way"
                );
            }
        }
    }
    let (body, copies) = copied(body, mirrors.len());
    for ((mirror, cluster, permit), copy) in mirrors.into_iter().zip(copies) {
        let mut request = request.clone();
        let shadow = shadow(authority(&request));
        headers::set_authority(&mut request, &shadow);
        mirror.backend.headers.request.apply(&mut request.headers, facts);
        headers::strip(&mut request.headers, false);
        let (cluster, limit) = (cluster.clone(), route.timeout.unwrap_or(LIMIT));
        let (source, dialled, metrics) = (facts.peer.ip(), facts.destination, metrics.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let sent = tokio::time::timeout(limit, send(request, copy, &cluster, dialled, source)).await;
            let why = match sent {
                Ok(Ok(())) => return,
                Ok(Err(failed)) => failed.why,
                Err(_) => format!("it takes longer than {limit:?}"),
            };
            metrics.mirror_failed();
            tracing::debug!(cluster = cluster.name(), why, "not mirrored");
        });
    }
    body
}

async fn send(
    mut request: Request,
    body: Body,
    cluster: &Cluster,
    dialled: SocketAddr,
    source: IpAddr,
) -> Result<(), Failed> {
    let key = cluster.hash(&request.uri, &request.headers, source).key;
    let limits = Limits::none();
    let mut tries = Tries::new(To::Cluster(cluster, dialled), &limits, key, None);
    let repeat = match body.is_end_stream() {
        true => Repeat::Empty,
        false => Repeat::Never,
    };
    let mut nobody = Record::none();
    let answer = tries.send(&mut request, body, repeat, &mut nobody).await?;
    // Read to the end, so that the connection can be used again.
    let mut body = answer.response.body;
    while let Some(Ok(_)) = body.frame().await {}
    Ok(())
}

/// The host with `-shadow` behind it, as Envoy has it, so that a mirror can tell.
fn shadow(authority: &[u8]) -> HeaderValue {
    let port = authority.iter().rposition(|byte| *byte == b':');
    // An address in brackets has colons of its own.
    let port = port.filter(|at| !authority[*at..].contains(&b']'));
    let (host, port) = authority.split_at(port.unwrap_or(authority.len()));
    HeaderValue::from_bytes(&[host, b"-shadow", port].concat())
        .unwrap_or_else(|_| HeaderValue::from_static("shadow"))
}

#[cfg(test)]
mod tests {
    use super::shadow;

    #[test]
    fn shadows() {
        for (authority, expected) in [
            ("a", "a-shadow"),
            ("a.b:80", "a.b-shadow:80"),
            ("[::1]:80", "[::1]-shadow:80"),
            ("", "-shadow"),
        ] {
            assert_eq!(shadow(authority.as_bytes()), expected);
        }
    }
}
