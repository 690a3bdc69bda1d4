//! In which version an API server has Istio's kinds: the definitions may be Istio's own, and those before Istio 1.22 have no
//! `v1`. Before: the API server's discovery. After: `watch` and `status` ask for objects in that version.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::ApiResource;

use crate::api::IstioKind;

/// Each kind in the newest version in which it is served. A kind that the API server does not know is not among them.
///
/// # Errors
/// If the API server cannot be asked.
pub(crate) async fn served(client: &Client) -> kube::Result<BTreeMap<IstioKind, ApiResource>> {
    // To be asked for a version that it does not have is an error, to say which it has is none.
    let groups = found(client.list_api_groups().await)?.unwrap_or_default().groups;
    let own = groups.into_iter().find(|group| group.name == IstioKind::GROUP);
    let versions = own.map(|group| group.versions).unwrap_or_default();
    let known = |version: &&str| versions.iter().any(|one| one.version == *version);
    let mut kinds = BTreeMap::new();
    for version in IstioKind::VERSIONS.into_iter().filter(known) {
        let group = format!("{}/{version}", IstioKind::GROUP);
        let Some(listed) = found(client.list_api_group_resources(&group).await)? else {
            continue;
        };
        for kind in IstioKind::ALL {
            // Those with a slash are parts of objects, such as their statuses.
            let is_kind = |name: &str, of: &str| of == kind.name() && !name.contains('/');
            if listed.resources.iter().any(|one| is_kind(&one.name, &one.kind)) {
                kinds.entry(kind).or_insert_with(|| kind.resource(version));
            }
        }
        if kinds.len() == IstioKind::ALL.len() {
            break;
        }
    }
    Ok(kinds)
}

/// None if there is no such thing.
fn found<T>(answer: kube::Result<T>) -> kube::Result<Option<T>> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        answer => answer.map(Some),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// What an API server answers to the question which groups it has.
    pub(crate) fn groups(versions: &[&str]) -> (StatusCode, Value) {
        let version = |version: &&str| json!({"groupVersion": format!("{}/{version}", IstioKind::GROUP), "version": version});
        let versions: Vec<_> = versions.iter().map(version).collect();
        let own = json!({"name": IstioKind::GROUP, "versions": versions});
        let other = json!({"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}]});
        let groups = if versions.is_empty() {
            vec![other]
        } else {
            vec![other, own]
        };
        (
            StatusCode::OK,
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
        )
    }

    /// What an API server answers to the question which kinds it has in a version: 404 for none.
    pub(crate) fn discovered(version: &str, kinds: &[IstioKind]) -> (StatusCode, Value) {
        if kinds.is_empty() {
            return not_found();
        }
        let resources = kinds.iter().flat_map(|kind| {
            let plural = kind.resource(version).plural;
            ["", "/status"].map(|part| {
                json!({"name": format!("{plural}{part}"), "kind": kind.name(), "singularName": "", "namespaced": true, "verbs": ["list"]})
            })
        });
        let list = json!({
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": format!("{}/{version}", IstioKind::GROUP), "resources": resources.collect::<Vec<_>>(),
        });
        (StatusCode::OK, list)
    }

    /// The version and what is asked for in it, if the path is of Istio's group.
    pub(crate) fn version_of(path: &str) -> Option<(&str, &str)> {
        let rest = path.strip_prefix("/apis/networking.istio.io/")?;
        Some(rest.split_once('/').unwrap_or((rest, "")))
    }

    pub(crate) fn not_found() -> (StatusCode, Value) {
        let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "no", "code": 404});
        (StatusCode::NOT_FOUND, status)
    }

    /// An API server.
    pub(crate) fn client(
        answer: impl Fn(&Request<Body>) -> (StatusCode, Value) + Clone + Send + 'static,
    ) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let (status, answer) = answer(&request);
            async move {
                let response = Response::builder().status(status);
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    response.body(Body::from(answer.to_string().into_bytes()))?,
                )
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn each_kind_is_asked_for_in_its_newest_version() {
        use IstioKind::{ServiceEntry, Sidecar, VirtualService};
        let client = client(|request| match version_of(request.uri().path()) {
            None => groups(&["v1alpha3", "v1", "v2", "v1beta1"]),
            Some(("v1", "")) => discovered("v1", &[VirtualService]),
            Some(("v1beta1", "")) => discovered("v1beta1", &[VirtualService, ServiceEntry]),
            Some(("v1alpha3", "")) => discovered("v1alpha3", &[Sidecar, ServiceEntry]),
            _ => panic!("{request:?}"),
        });
        let versions: Vec<_> = served(&client)
            .await
            .unwrap()
            .into_iter()
            .map(|(kind, resource)| (kind, resource.api_version))
            .collect();
        let expected = [
            (VirtualService, "networking.istio.io/v1"),
            (ServiceEntry, "networking.istio.io/v1beta1"),
            (Sidecar, "networking.istio.io/v1alpha3"),
        ];
        assert_eq!(
            versions,
            expected.map(|(kind, version)| (kind, version.to_owned()))
        );
    }

    #[tokio::test]
    async fn an_api_server_without_the_kinds_is_no_error_and_one_that_is_away_is() {
        let other = |request: &Request<Body>| match request.uri().path() {
            "/apis" => groups(&[]),
            path => panic!("asked for {path}"),
        };
        assert!(served(&client(other)).await.unwrap().is_empty());
        // A version that is just going.
        let going = |request: &Request<Body>| match request.uri().path() {
            "/apis" => groups(&["v1"]),
            _ => not_found(),
        };
        assert!(served(&client(going)).await.unwrap().is_empty());
        let broken = |_: &Request<Body>| (StatusCode::INTERNAL_SERVER_ERROR, json!({}));
        assert!(served(&client(broken)).await.is_err());
    }
}
