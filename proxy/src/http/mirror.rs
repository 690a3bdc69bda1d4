//! Copies of requests for a route's mirrors: sent beside the request, without a second look at what comes of them.
//! Before it: `forward`; after it: `tries`.

use std::time::Duration;

use http::Request;
use http::header::HeaderValue;
use http::request::Parts;
use http_body_util::BodyExt;

use super::access::Record;
use super::failed::Failed;
use super::headers;
use super::limits::Limits;
use super::tries::{To, Tries};
use crate::balance;
use crate::body::{Body, copied};
use crate::route::{Facts, Mirror, Route, Target, authority};

/// How long a mirror may take for a whole response, unless the route says.
const LIMIT: Duration = Duration::from_secs(60);

/// Sends copies of the request to those of the route's mirrors whose turn it is; gives back the body, which is copied
/// while it is sent.
pub(super) fn mirror(route: &Route, request: &Parts, body: Body, facts: &Facts<'_>) -> Body {
    let (source, dialled) = (facts.peer.ip(), facts.destination);
    let meant = |mirror: &&Mirror| mirror.share.has(balance::random());
    let mirrors: Vec<&Mirror> = route.mirrors.iter().filter(meant).collect();
    let (body, copies) = copied(body, mirrors.len());
    for (mirror, copy) in mirrors.into_iter().zip(copies) {
        let Target::Cluster(cluster) = &mirror.backend.target else {
            continue;
        };
        let mut request = request.clone();
        let shadow = shadow(authority(&request));
        headers::set_authority(&mut request, &shadow);
        mirror.backend.headers.request.apply(&mut request.headers, facts);
        let (cluster, limit) = (cluster.clone(), route.timeout.unwrap_or(LIMIT));
        tokio::spawn(async move {
            let key = cluster.hash(&request.uri, &request.headers, source).key;
            let limits = Limits::none();
            let mut tries = Tries::new(To::Cluster(&cluster, dialled), &limits, key);
            let request = Request::from_parts(request, copy);
            let answered = async {
                let answer = tries.send(request, None, &mut Record::none()).await?;
                // Read to the end, so that the connection can be used again.
                let mut body = answer.response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
                Ok::<_, Failed>(())
            };
            match tokio::time::timeout(limit, answered).await {
                Ok(Ok(())) => {}
                Ok(Err(failed)) => {
                    tracing::debug!(cluster = cluster.name(), why = failed.why, "not mirrored")
                }
                Err(_) => tracing::debug!(cluster = cluster.name(), ?limit, "a mirror takes too long"),
            }
        });
    }
    body
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
