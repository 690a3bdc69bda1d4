//! Asks the API server which pod a service-account token is bound to.
//!
//! Needs `create` on `tokenreviews.authentication.k8s.io`, cluster-wide.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

use super::authenticate::{Identity, Refused};
use crate::control::world::Key;

/// What a token must have been issued for, so that one for the API server or another service is no good here.
const AUDIENCE: &str = "outrigger";
/// The proxy has its own patience, which must not end before this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the API server tells what a token is bound to (KEP-1205, Kubernetes 1.22).
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// The same for the pod's node (KEP-4193, Kubernetes 1.30).
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

pub(super) async fn identity(client: &Client, token: &str) -> Result<Identity, Refused> {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: Some(vec![AUDIENCE.to_owned()]),
        },
        ..Default::default()
    };
    let api = Api::<TokenReview>::all(client.clone());
    let unknown = |why: String| Refused::Unknown(format!("the API server did not review the token: {why}"));
    match timeout(PATIENCE, api.create(&PostParams::default(), &review)).await {
        Ok(Ok(review)) => read(review.status.unwrap_or_default()),
        Ok(Err(error)) => Err(unknown(error.to_string())),
        Err(_) => Err(unknown(format!("no answer in {PATIENCE:?}"))),
    }
}

fn read(status: TokenReviewStatus) -> Result<Identity, Refused> {
    let refused = |why: &str| Err(Refused::Token(why.to_owned()));
    if status.authenticated != Some(true) {
        let why = status.error.unwrap_or_else(|| "it is not valid".to_owned());
        return refused(&format!("the API server refuses the token: {why}"));
    }
    if !status
        .audiences
        .is_some_and(|audiences| audiences.iter().any(|audience| audience == AUDIENCE))
    {
        return refused("the token is not for the audience outrigger");
    }
    let user = status.user.unwrap_or_default();
    let namespace = user
        .username
        .as_deref()
        .and_then(|name| name.strip_prefix("system:serviceaccount:"))
        .and_then(|account| account.split_once(':'))
        .map(|(namespace, _)| namespace);
    let Some(namespace) = namespace else {
        return refused("the token is not a service account's");
    };
    let extra = user.extra.unwrap_or_default();
    let one = |name: &str| match extra.get(name).map(Vec::as_slice) {
        Some([value]) => Some(value.clone()),
        _ => None,
    };
    match (one(POD_NAME), one(POD_UID)) {
        (Some(name), Some(uid)) => Ok(Identity {
            pod: Key::new(namespace, &name),
            uid: Some(uid),
            node: one(NODE_NAME),
        }),
        _ => refused("the token is not bound to a pod; a projected service-account token is needed"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_pods_own_token_for_us_is_good() {
        let good = json!({
            "authenticated": true,
            "audiences": ["outrigger"],
            "user": {
                "username": "system:serviceaccount:default:curl",
                "extra": {POD_NAME: ["curl-1"], POD_UID: ["u"], NODE_NAME: ["n1"]},
            },
        });
        let with = |pointer: &str, value: serde_json::Value| {
            let mut status = good.clone();
            *status.pointer_mut(pointer).unwrap() = value;
            status
        };
        for (status, expected) in [
            (good.clone(), Ok("default/curl-1 u")),
            (with("/authenticated", json!(false)), Err("refuses the token")),
            (json!({"error": "token has expired"}), Err("token has expired")),
            (
                with("/audiences", json!(["https://kubernetes.default.svc"])),
                Err("audience outrigger"),
            ),
            (with("/audiences", json!(null)), Err("audience outrigger")),
            (
                with("/user/username", json!("admin")),
                Err("not a service account's"),
            ),
            (
                with("/user/username", json!("system:serviceaccount:default")),
                Err("not a service account's"),
            ),
            (
                with("/user/extra", json!({POD_NAME: ["curl-1"]})),
                Err("not bound to a pod"),
            ),
            (
                with("/user/extra", json!({POD_NAME: ["a", "b"], POD_UID: ["u"]})),
                Err("not bound to a pod"),
            ),
        ] {
            let seen = read(serde_json::from_value(status.clone()).unwrap());
            match (seen, expected) {
                (Ok(seen), Ok(expected)) => {
                    assert_eq!(format!("{} {}", seen.pod, seen.uid.unwrap()), expected);
                    assert_eq!(seen.node.as_deref(), Some("n1"));
                }
                (Err(Refused::Token(seen)), Err(expected)) => assert!(seen.contains(expected), "{seen}"),
                (seen, _) => panic!("{status} gives {seen:?}"),
            }
        }
    }
}
