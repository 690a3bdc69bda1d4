//! The `caBundle` of every webhook in our two configurations, the mutating and the validating: how the API server learns whom
//! to trust. The bundle comes from `secret`; `issue` waits until the mutating one has it, without which pods would be refused.

use std::pin::pin;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation};
use kube::api::{ApiResource, DynamicObject, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use outrigger_certs::certificates;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::{Knowledge, RETRY, Settings};

/// One of our configurations.
pub(super) struct Kept<'a> {
    /// Its kind.
    pub(super) kind: ApiResource,
    /// Its name.
    pub(super) name: &'a str,
    /// Who hears of it.
    pub(super) known: &'a watch::Sender<Configuration>,
}

/// What is known of a webhook configuration.
#[derive(Debug)]
pub(super) enum Configuration {
    /// The API server has not answered yet.
    Unknown,
    /// There is none, so that nobody calls the webhook.
    Absent,
    /// It is this one.
    Present(Box<DynamicObject>),
}

impl Configuration {
    /// Whether everybody who calls the webhook trusts `authority`.
    pub(super) fn trusts(&self, authority: &CertificateDer<'_>) -> bool {
        match self {
            Self::Unknown => false,
            Self::Absent => true,
            Self::Present(configuration) => webhooks(configuration).iter().all(|webhook| {
                let bundle = bundle(webhook).map(|bundle| String::from_utf8_lossy(&bundle).into_owned());
                let trusted = bundle
                    .and_then(|bundle| certificates(&bundle).ok())
                    .unwrap_or_default();
                trusted.iter().any(|certificate| certificate == authority)
            }),
        }
    }
}

fn webhooks(configuration: &DynamicObject) -> &[Value] {
    configuration.data["webhooks"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn bundle(webhook: &Value) -> Option<Vec<u8>> {
    STANDARD
        .decode(webhook["clientConfig"]["caBundle"].as_str()?)
        .ok()
}

/// Watches a configuration and repairs its `caBundle`s, whoever changed them: at once if somebody has removed the signer;
/// at the next look if the signer is there, because then it may be the bundle of a replica that already knows more.
pub(super) async fn keep(
    client: &Client,
    settings: &Settings,
    knowledge: &Knowledge,
    kept: &Kept<'_>,
) -> anyhow::Result<()> {
    let Kept { kind, name, known } = kept;
    let api: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    let kind = kind.kind.as_str();
    let mut configurations = pin!(watcher::watch_object(api.clone(), name).default_backoff());
    let mut keyring = knowledge.keyring.subscribe();
    let mut tick = tokio::time::interval(settings.check_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looks = tokio::select! {
            event = configurations.next() => match event.context("the watch of the webhook configuration ended")? {
                Ok(found) => {
                    let found = found.map_or(Configuration::Absent, |found| Configuration::Present(Box::new(found)));
                    known.send_replace(found);
                    false
                }
                Err(error) => {
                    warn!(kind, name, %error, "cannot watch the webhook configuration");
                    continue;
                }
            },
            changed = keyring.changed() => changed.map(|()| true)?,
            _ = tick.tick() => true,
        };
        let Some(keyring) = keyring.borrow_and_update().clone() else {
            continue;
        };
        let patch = match &*known.borrow() {
            known if !looks && known.trusts(keyring.signer().certificate()) => None,
            Configuration::Present(configuration) => patch(configuration, &keyring.bundle()),
            Configuration::Unknown | Configuration::Absent => None,
        };
        let Some(patch) = patch else { continue };
        let parameters = PatchParams {
            field_manager: Some(settings.names.installation.clone()),
            ..PatchParams::default()
        };
        match api
            .patch(name, &parameters, &kube::api::Patch::Json::<()>(patch))
            .await
        {
            Ok(_) => info!(kind, name, "wrote the caBundle of the webhook configuration"),
            Err(error) => {
                warn!(kind, name, %error, "cannot write the caBundle of the webhook configuration");
                tick.reset_after(RETRY);
            }
        }
    }
}

/// The operations that give every webhook the bundle, or `None` if all have it.
///
/// A JSON patch and not server-side apply, because an apply to a configuration or a webhook that was just deleted would
/// create it anew, empty; a patch fails. Webhooks have no address but their index, so a test of the name comes first and
/// refuses the patch if somebody has reordered them.
fn patch(configuration: &DynamicObject, wanted: &str) -> Option<Patch> {
    let mut operations = Vec::new();
    for (index, webhook) in webhooks(configuration).iter().enumerate() {
        if bundle(webhook).is_some_and(|carried| carried == wanted.as_bytes()) {
            continue;
        }
        let at = |path: &[&str]| {
            let index = index.to_string();
            PointerBuf::from_tokens(["webhooks", &index].into_iter().chain(path.iter().copied()))
        };
        operations.push(PatchOperation::Test(TestOperation {
            path: at(&["name"]),
            value: webhook["name"].clone(),
        }));
        operations.push(PatchOperation::Add(AddOperation {
            path: at(&["clientConfig", "caBundle"]),
            value: STANDARD.encode(wanted).into(),
        }));
    }
    (!operations.is_empty()).then_some(Patch(operations))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
    use outrigger_certs::Authority;
    use serde_json::json;

    use super::*;

    /// Webhooks a, b, ... with these bundles.
    fn configuration(bundles: &[Option<&str>]) -> DynamicObject {
        let webhooks = bundles.iter().zip('a'..).map(|(bundle, name)| {
            json!({"name": name, "clientConfig": {"caBundle": bundle.map(|bundle| STANDARD.encode(bundle))}})
        });
        let kind = ApiResource::erase::<MutatingWebhookConfiguration>(&());
        let webhooks: Vec<_> = webhooks.collect();
        DynamicObject::new("ours", &kind).data(json!({"webhooks": webhooks}))
    }

    #[test]
    fn only_what_differs_is_patched() {
        let patched =
            |bundles: &[Option<&str>]| patch(&configuration(bundles), "new").map(|patch| json!(patch));
        let change = |index: usize, name: &str| {
            [
                json!({"op": "test", "path": format!("/webhooks/{index}/name"), "value": name}),
                json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": "bmV3"}),
            ]
        };
        assert_eq!(patched(&[]), None);
        assert_eq!(patched(&[Some("new"), Some("new")]), None);
        assert_eq!(patched(&[None]), Some(json!(change(0, "a"))));
        assert_eq!(
            patched(&[Some("new"), Some("old"), Some("")]),
            Some(json!([change(1, "b"), change(2, "c")].concat()))
        );
    }

    #[test]
    fn trust_needs_every_webhook() {
        let authority =
            |name| Authority::generate(name, Duration::from_secs(60), SystemTime::UNIX_EPOCH).unwrap();
        let (ours, other) = (authority("ours"), authority("other"));
        let both = format!("{}{}", other.certificate_pem(), ours.certificate_pem());
        let (alone, foreign) = (Some(ours.certificate_pem()), Some(other.certificate_pem()));
        for (bundles, expected) in [
            (vec![alone, Some(&both)], true),
            (vec![alone, foreign], false),
            (vec![alone, None], false),
            (vec![Some("no PEM")], false),
            (vec![], true),
        ] {
            let present = Configuration::Present(Box::new(configuration(&bundles)));
            assert_eq!(present.trusts(ours.certificate()), expected, "{bundles:?}");
        }
        assert!(!Configuration::Unknown.trusts(ours.certificate()));
        assert!(Configuration::Absent.trusts(ours.certificate()));
    }
}
