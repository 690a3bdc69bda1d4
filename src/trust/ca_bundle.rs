//! The `caBundle` of every webhook in our MutatingWebhookConfiguration: how the API server learns whom to trust.
//! The bundle comes from `secret`; `issue` waits until it is here.

use std::pin::pin;

use anyhow::Context;
use futures::StreamExt;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::PatchParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use outrigger_certs::certificates;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::{Knowledge, RETRY, Settings};

/// What is known of the webhook configuration.
#[derive(Debug)]
pub(super) enum Configuration {
    /// The API server has not answered yet.
    Unknown,
    /// There is none, so that nobody calls the webhook.
    Absent,
    /// It is this one.
    Present(Box<MutatingWebhookConfiguration>),
}

impl Configuration {
    /// Whether everybody who calls the webhook trusts `authority`.
    pub(super) fn trusts(&self, authority: &CertificateDer<'_>) -> bool {
        match self {
            Self::Unknown => false,
            Self::Absent => true,
            Self::Present(configuration) => configuration.webhooks.iter().flatten().all(|webhook| {
                let bundle = webhook
                    .client_config
                    .ca_bundle
                    .as_ref()
                    .map(|bundle| String::from_utf8_lossy(&bundle.0));
                let trusted = bundle
                    .and_then(|bundle| certificates(&bundle).ok())
                    .unwrap_or_default();
                trusted.iter().any(|certificate| certificate == authority)
            }),
        }
    }
}

/// Watches the configuration and repairs its `caBundle`s, whoever changed them: at once if somebody has removed the signer;
/// at the next look if the signer is there, because then it may be the bundle of a replica that already knows more.
pub(super) async fn keep(client: &Client, settings: &Settings, knowledge: &Knowledge) -> anyhow::Result<()> {
    let name = settings.names.webhook.as_str();
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let mut configurations = pin!(watcher::watch_object(api.clone(), name).default_backoff());
    let mut keyring = knowledge.keyring.subscribe();
    let mut tick = tokio::time::interval(settings.check_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looks = tokio::select! {
            event = configurations.next() => match event.context("the watch of the webhook configuration ended")? {
                Ok(found) => {
                    let found = found.map_or(Configuration::Absent, |found| Configuration::Present(Box::new(found)));
                    knowledge.configuration.send_replace(found);
                    false
                }
                Err(error) => {
                    warn!(name, %error, "cannot watch the MutatingWebhookConfiguration");
                    continue;
                }
            },
            changed = keyring.changed() => changed.map(|()| true)?,
            _ = tick.tick() => true,
        };
        let Some(keyring) = keyring.borrow_and_update().clone() else {
            continue;
        };
        let patch = match &*knowledge.configuration.borrow() {
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
            Ok(_) => info!(name, "wrote the caBundle of the MutatingWebhookConfiguration"),
            Err(error) => {
                warn!(name, %error, "cannot write the caBundle of the MutatingWebhookConfiguration");
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
fn patch(configuration: &MutatingWebhookConfiguration, bundle: &str) -> Option<Patch> {
    let mut operations = Vec::new();
    for (index, webhook) in configuration.webhooks.iter().flatten().enumerate() {
        if webhook
            .client_config
            .ca_bundle
            .as_ref()
            .is_some_and(|carried| carried.0 == bundle.as_bytes())
        {
            continue;
        }
        let at = |path: &[&str]| {
            let index = index.to_string();
            PointerBuf::from_tokens(["webhooks", &index].into_iter().chain(path.iter().copied()))
        };
        operations.push(PatchOperation::Test(TestOperation {
            path: at(&["name"]),
            value: json!(webhook.name),
        }));
        operations.push(PatchOperation::Add(AddOperation {
            path: at(&["clientConfig", "caBundle"]),
            value: json!(ByteString(bundle.as_bytes().to_vec())),
        }));
    }
    (!operations.is_empty()).then_some(Patch(operations))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
    use outrigger_certs::Authority;

    use super::*;

    /// Webhooks a, b, ... with these bundles.
    fn configuration(bundles: &[Option<&str>]) -> MutatingWebhookConfiguration {
        let webhooks = bundles.iter().zip('a'..).map(|(bundle, name)| {
            let mut webhook = MutatingWebhook {
                name: name.to_string(),
                ..MutatingWebhook::default()
            };
            webhook.client_config.ca_bundle = bundle.map(|bundle| ByteString(bundle.into()));
            webhook
        });
        MutatingWebhookConfiguration {
            webhooks: Some(webhooks.collect()),
            ..Default::default()
        }
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
