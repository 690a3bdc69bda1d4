//! What a request of its own kind shows: pods that fail or do not answer, and what browsers ask. Before: `row` has seen
//! where its requests go.

use super::Unseen;
use super::client::request;
use super::expected::{Cors, End, Retries};
use super::pods::ANSWER;
use super::row::{LONG, Look};

/// What a fault answers, in Envoy's words.
pub(super) const ABORTED: &str = "fault filter abort";
/// An origin that no policy allows.
const STRANGER: &str = "https://stranger.example.net";

pub(super) async fn all(look: &Look<'_>, unseen: &mut Vec<Unseen>) -> Result<(), String> {
    let reaches = match &look.expected.end {
        End::Backends(backends) => backends.iter().all(|backend| backend.to.is_ok()),
        _ => false,
    };
    if !reaches || look.expected.is_always_aborted() {
        return Ok(());
    }
    if look.expected.timeout.is_some_and(|timeout| timeout <= LONG) {
        too_late(look).await?;
    }
    if let Some(retries) = &look.expected.retries {
        tries(look, retries, unseen).await?;
    }
    match &look.expected.cors {
        Some(policy) => cors(look, policy).await,
        None => Ok(()),
    }
}

/// A pod that never answers.
async fn too_late(look: &Look<'_>) -> Result<(), String> {
    let mark = look.mark("too late");
    // A fault may come first.
    let response = loop {
        let response = request(look.port, &look.request(&mark, &[(ANSWER, "never")])).await;
        if response.body != ABORTED {
            break response;
        }
    };
    let least = look.expected.each_try().unwrap_or_default();
    if response.status != 504 || response.took < least {
        return Err(format!(
            "{} after {:?} from a pod that does not answer",
            response.status, response.took
        ));
    }
    Ok(())
}

/// Pods that fail as the policy says: each try arrives, and says which it is.
async fn tries(look: &Look<'_>, retries: &Retries, unseen: &mut Vec<Unseen>) -> Result<(), String> {
    if retries.backoff {
        unseen.push(Unseen::Backoff);
    }
    let Some(failure) = retries.on.iter().find_map(|word| failure(word)) else {
        unseen.push(Unseen::Unreachable);
        return Ok(());
    };
    let mark = look.mark("tries");
    let mut asked = look.request(&mark, &failure);
    // One that repeats nothing by itself: a GET is sent once more, uncounted, if a kept connection ends before its answer.
    asked.method = "POST".to_owned();
    // A fault may come first.
    let arrived = loop {
        let response = request(look.port, &asked).await;
        if response.body != ABORTED {
            let arrived = look.town.pods.arrived(&mark).into_iter();
            break arrived.filter(|one| !one.is_copy()).collect::<Vec<_>>();
        }
    };
    let counts: Vec<String> = arrived
        .iter()
        .map(|one| one.values("x-envoy-attempt-count").concat())
        .collect();
    let all: Vec<String> = (1..=retries.attempts + 1)
        .map(|count| count.to_string())
        .collect();
    if counts != all {
        return Err(format!("{failure:?} is tried as {counts:?}"));
    }
    match arrived.iter().find(|one| !look.is_meant(one)) {
        Some(stray) => Err(format!("is tried at {}", stray.pod)),
        None => Ok(()),
    }
}

/// How a pod fails, so that the word is met.
fn failure(word: &str) -> Option<Vec<(&'static str, &'static str)>> {
    const GRPC: &str = "x-answer-grpc-status";
    Some(match word {
        "5xx" => vec![(ANSWER, "500")],
        "gateway-error" | "503" => vec![(ANSWER, "503")],
        "reset" => vec![(ANSWER, "reset")],
        "retriable-4xx" => vec![(ANSWER, "409")],
        "cancelled" => vec![(GRPC, "1")],
        "unavailable" => vec![(GRPC, "14")],
        _ => return None,
    })
}

/// Pages of allowed origins and of another, and what their browsers ask first.
async fn cors(look: &Look<'_>, policy: &Cors) -> Result<(), String> {
    let permission = "access-control-allow-origin";
    for (at, origin) in policy.allowed().enumerate() {
        let mark = look.mark(&format!("page {at}"));
        let response = request(look.port, &look.request(&mark, &[("origin", &origin)])).await;
        if response.body != ABORTED {
            said(policy, &["expose", "credentials"], &response.headers)?;
            if response.values(permission) != [origin.as_str()] {
                return Err(format!("a page of {origin} gets {:?}", response.headers));
            }
        }
        let mark = look.mark(&format!("question {at}"));
        let response = question(look, &mark, &origin).await;
        if response.values(permission) != [origin.as_str()] || !look.town.pods.arrived(&mark).is_empty() {
            return Err(format!("a question from {origin} gets {:?}", response.headers));
        }
        let says = ["methods", "headers", "age", "expose", "credentials"];
        said(policy, &says, &response.headers)?;
    }
    if policy.origins.iter().any(|origin| origin == "^") {
        return Ok(());
    }
    let mark = look.mark("stranger");
    let response = question(look, &mark, STRANGER).await;
    let arrived = !look.town.pods.arrived(&mark).is_empty();
    let aborted = look
        .expected
        .abort
        .is_some_and(|(_, status)| response.status == status);
    if !response.values(permission).is_empty() || (arrived == policy.alone && !aborted) {
        return Err(format!(
            "a stranger's question arrives: {arrived}; it gets {:?}",
            response.headers
        ));
    }
    Ok(())
}

/// What a browser asks before a request that needs permission.
async fn question(look: &Look<'_>, mark: &str, origin: &str) -> super::client::Response {
    let more = [("origin", origin), ("access-control-request-method", "PUT")];
    let mut asked = look.request(mark, &more);
    asked.method = "OPTIONS".to_owned();
    request(look.port, &asked).await
}

/// Whether the response says these of the policy, as far as the policy has them.
fn said(policy: &Cors, names: &[&str], headers: &[(String, String)]) -> Result<(), String> {
    for name in names {
        let (header, expected) = match (*name, policy.says.get(*name).map(String::as_str)) {
            ("methods", said) => ("access-control-allow-methods", said),
            ("headers", said) => ("access-control-allow-headers", said),
            ("expose", said) => ("access-control-expose-headers", said),
            ("age", said) => (
                "access-control-max-age",
                said.map(|age| age.trim_end_matches('s')),
            ),
            (_, said) => (
                "access-control-allow-credentials",
                said.filter(|said| *said == "true"),
            ),
        };
        let found = super::client::values(headers, header);
        if found != Vec::from_iter(expected) {
            return Err(format!("{header}: {found:?}"));
        }
    }
    Ok(())
}
