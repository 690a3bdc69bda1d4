//! This replica's serving certificate: issued once its authority is trusted, renewed at half of its time and when another
//! authority signs. The end of the path that begins at `secret`; the listeners present what is served here.

use std::time::SystemTime;

use anyhow::Context;
use outrigger_certs::{Authority, Request, Served, ServingCertificate};
use tokio::time::MissedTickBehavior;
use tracing::{error, info};

use super::{Knowledge, Settings};

/// Issues when it is due, and says when the replica is ready.
pub(super) async fn keep(
    serving: &ServingCertificate,
    settings: &Settings,
    knowledge: &Knowledge,
) -> anyhow::Result<()> {
    let request = request(settings);
    let mut keyring = knowledge.keyring.subscribe();
    let mut configuration = knowledge.configuration.subscribe();
    let mut tick = tokio::time::interval(settings.check_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = keyring.changed() => changed.context("the keyring is gone")?,
            changed = configuration.changed() => changed.context("the webhook configuration is gone")?,
            _ = tick.tick() => {}
        }
        let now = (settings.clock)();
        let signer = keyring
            .borrow_and_update()
            .as_ref()
            .map(|keyring| keyring.signer().clone());
        let configuration = configuration.borrow_and_update();
        if let Some(signer) = signer
            && configuration.trusts(signer.certificate())
            && is_due(serving.served().as_deref(), &signer, now)
        {
            let issued = signer
                .issue(&request, settings.serving_ttl, now)
                .map_err(anyhow::Error::from);
            match issued.and_then(|identity| Ok(serving.replace(identity)?)) {
                Ok(()) => info!(names = ?request.dns_names, "serving a new certificate"),
                Err(error) => {
                    error!(names = ?request.dns_names, error = format!("{error:#}"), "cannot issue a certificate")
                }
            }
        }
        let served = serving.served();
        let ready = served.is_some_and(|it| !it.validity.is_over(now) && configuration.trusts(&it.issuer));
        knowledge
            .ready
            .send_if_modified(|before| std::mem::replace(before, ready) != ready);
    }
}

/// Whether another certificate should be served: there is none, another authority signs, or half of its time has passed.
fn is_due(served: Option<&Served>, signer: &Authority, now: SystemTime) -> bool {
    served.is_none_or(|served| served.issuer != *signer.certificate() || now >= served.validity.half())
}

/// The names by which the API server and the proxies call the Service.
fn request(settings: &Settings) -> Request {
    let service = format!("{}.{}", settings.names.installation, settings.namespace);
    let cluster_domain = &settings.cluster_domain;
    let dns_names = vec![
        format!("{service}.svc"),
        format!("{service}.svc.{cluster_domain}"),
        service,
    ];
    Request {
        dns_names,
        ips: Vec::new(),
    }
}
