//! The Secret with the keyring: created if it is not there, advanced when a date has come, by whichever replica is first.
//! What it holds goes on to `ca_bundle`, `root` and `issue`.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use outrigger_certs::{Keyring, Policy};
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, info, warn};

use super::{Knowledge, MANAGER, RETRY, Settings};

/// The Secret's name, in the control plane's own namespace.
const NAME: &str = "outrigger-ca";

/// What must become of the Secret.
#[derive(Debug)]
enum Step {
    Keep,
    Create(Keyring),
    Replace(Keyring),
}

/// Watches the Secret, publishes its keyring and writes the next one when it is time. What was written is believed only when
/// the watch brings it back: the watch is also the re-read after another replica was faster, so that an older version never
/// follows a newer one.
pub(super) async fn keep(client: &Client, settings: &Settings, knowledge: &Knowledge) -> anyhow::Result<()> {
    let api = Api::namespaced(client.clone(), &settings.namespace);
    let mut secrets = pin!(watcher::watch_object(api.clone(), NAME).default_backoff());
    let mut distributed = knowledge.distributed.subscribe();
    let mut tick = tokio::time::interval(settings.check_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen: Option<Option<Secret>> = None;
    loop {
        tokio::select! {
            event = secrets.next() => match event.context("the watch of the CA's Secret ended")? {
                Ok(secret) => {
                    publish(secret.as_ref(), settings, knowledge);
                    seen = Some(secret);
                }
                Err(error) => {
                    warn!(namespace = settings.namespace, name = NAME, %error, "cannot watch the CA's Secret");
                    continue;
                }
            },
            _ = tick.tick() => {}
            _ = distributed.changed() => {}
        }
        let Some(found) = &seen else { continue };
        let known = knowledge.keyring.borrow().clone();
        let bundle = distributed.borrow_and_update().clone();
        let step = step(
            found.as_ref(),
            known.as_deref(),
            bundle.as_deref(),
            &settings.policy,
            (settings.clock)(),
        );
        let written = match step {
            Ok(Step::Keep) => continue,
            Ok(Step::Create(keyring)) => {
                let secret = with_keyring(Secret::default(), &settings.namespace, &keyring);
                api.create(&parameters(settings), &secret).await
            }
            Ok(Step::Replace(keyring)) => {
                let secret = with_keyring(found.clone().unwrap_or_default(), &settings.namespace, &keyring);
                api.replace(NAME, &parameters(settings), &secret).await
            }
            Err(error) => {
                error!(
                    namespace = settings.namespace,
                    name = NAME,
                    error = format!("{error:#}"),
                    "the CA's Secret cannot be used; the last good keyring stays"
                );
                continue;
            }
        };
        match written {
            Ok(_) => info!(
                namespace = settings.namespace,
                name = NAME,
                "wrote the CA's Secret"
            ),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                debug!(
                    namespace = settings.namespace,
                    name = NAME,
                    "another replica wrote the CA's Secret first"
                );
            }
            Err(error) => {
                warn!(namespace = settings.namespace, name = NAME, %error, "cannot write the CA's Secret");
                tick.reset_after(RETRY);
            }
        }
    }
}

/// Decides from what the Secret is, what it was (`known`), and the bundle that every namespace has (`distributed`).
fn step(
    found: Option<&Secret>,
    known: Option<&Keyring>,
    distributed: Option<&str>,
    policy: &Policy,
    now: SystemTime,
) -> anyhow::Result<Step> {
    let kept = match found {
        Some(secret) => parse(secret)?,
        None => None,
    };
    let Some(keyring) = kept else {
        // Deleted or emptied while we run: put back what everybody trusts already, rather than start anew.
        let keyring = match known {
            Some(known) => known.clone(),
            None => Keyring::generate(policy, now).context("a certificate authority")?,
        };
        return Ok(if found.is_some() {
            Step::Replace(keyring)
        } else {
            Step::Create(keyring)
        });
    };
    let Some(advanced) = keyring
        .advance(now, policy)
        .context("the next certificate authority")?
    else {
        return Ok(Step::Keep);
    };
    let promotes = advanced.signer().certificate() != keyring.signer().certificate();
    let expired = keyring.signer().validity().is_over(now);
    if promotes && !expired && distributed != Some(keyring.bundle().as_str()) {
        warn!(
            "the next certificate authority is due, but not every namespace has its certificate yet; the current one goes on signing"
        );
        return Ok(Step::Keep);
    }
    Ok(Step::Replace(advanced))
}

fn publish(secret: Option<&Secret>, settings: &Settings, knowledge: &Knowledge) {
    match secret.map(parse).transpose() {
        Ok(Some(Some(keyring))) => {
            knowledge.keyring.send_replace(Some(Arc::new(keyring)));
        }
        // Somebody removed it: what was known is still what everybody trusts, and `step` writes it back.
        Ok(Some(None) | None) => {}
        Err(error) => {
            debug!(
                namespace = settings.namespace,
                name = NAME,
                error = format!("{error:#}"),
                "no keyring to publish"
            );
        }
    }
}

fn parse(secret: &Secret) -> anyhow::Result<Option<Keyring>> {
    let data = secret
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.0.clone()));
    Keyring::from_data(&data.collect()).with_context(|| {
        format!(
            "Secret {}/{}",
            secret.namespace().unwrap_or_default(),
            secret.name_any()
        )
    })
}

/// The Secret with the keyring in it. Its resourceVersion stays, so that the API server refuses it if it has changed since.
fn with_keyring(mut secret: Secret, namespace: &str, keyring: &Keyring) -> Secret {
    if secret.metadata.name.is_none() {
        let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())]);
        secret.metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        };
    }
    secret.data = Some(
        keyring
            .to_data()
            .into_iter()
            .map(|(key, value)| (key, ByteString(value)))
            .collect(),
    );
    secret
}

fn parameters(settings: &Settings) -> PostParams {
    PostParams {
        field_manager: Some(settings.names.installation.clone()),
        ..PostParams::default()
    }
}

#[cfg(test)]
mod tests;
