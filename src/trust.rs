//! Who is trusted, and who is told: the keyring in its Secret, this replica's serving certificate, the `caBundle` of the
//! webhook configuration and the ConfigMap with the proxies' trust anchors. Rotation needs no restart and no leader.
//!
//! # Layout
//! `secret` (the keyring, kept and advanced) -> `ca_bundle` (the API server learns it) and `root` (the proxies learn it)
//! -> `issue` (a certificate for this replica, once it can be verified). Each is a loop around pure functions; they tell
//! each other what they know over watch channels. What certificates are is `outrigger_certs`' part.
//!
//! # Order
//! A new authority is first published, then it signs. The first one of an installation signs as soon as the `caBundle`
//! carries it. A successor waits for the overlap of the [`Policy`], for the `caBundle` and for every namespace's ConfigMap.
//! Replicas may see these objects in a different order and for a moment hold an older bundle than the one they find; so a
//! bundle that has the signer is nobody's urgent business, and what differs is an authority that will not sign for an overlap.
//!
//! # Revisions
//! Two revisions in one namespace are to each other what two replicas are: they share the Secret, and each ConfigMap is applied
//! by both, each with a field manager and an owner of its own ([`Names`]). When one revision goes, the garbage collector takes
//! its reference out and leaves the ConfigMap to the other; when the last goes, the ConfigMaps go.
//!
//! # RBAC
//! For the default revision; a named one has `-NAME` after `outrigger`, `outrigger-sidecar-injector` and `outrigger-validator`.
//!
//! | kind | where | resourceNames | verbs |
//! |---|---|---|---|
//! | Secret | Role in the own namespace | `outrigger-ca` | list, watch, update |
//! | Secret | Role in the own namespace | (a create has no name to restrict) | create |
//! | MutatingWebhookConfiguration | ClusterRole | `outrigger-sidecar-injector` | list, watch, patch |
//! | ValidatingWebhookConfiguration | ClusterRole | `outrigger-validator` | list, watch, patch |
//! | ConfigMap | ClusterRole | `outrigger-ca-root` | list, watch, patch, create |
//! | ClusterRole | ClusterRole | `outrigger` | get |
//!
//! Lists and watches select `metadata.name`, which is what lets RBAC restrict them by name. A ConfigMap is created by
//! server-side apply, whose `create` carries the name, so that this verb can be restricted too.

mod ca_bundle;
mod expiry;
mod issue;
mod names;
mod root;
mod secret;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::api::ApiResource;
use outrigger_certs::{Keyring, Policy, ServingCertificate};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::control::world::World;
use ca_bundle::{Configuration, Kept};
pub use names::Names;

/// The value of `app.kubernetes.io/managed-by` on what every revision writes.
const MANAGER: &str = "outrigger";

/// How soon an API call that failed is made again.
const RETRY: Duration = Duration::from_secs(2);

/// Where and how trust is kept.
#[derive(Clone)]
pub struct Settings {
    /// The control plane's own namespace.
    pub namespace: String,
    /// What the chart's objects are called.
    pub names: Names,
    /// The cluster's DNS domain, such as `cluster.local`.
    pub cluster_domain: String,
    /// Namespaces that get no trust anchors because no pod in them is injected.
    pub ignored_namespaces: BTreeSet<String>,
    /// How authorities follow one another.
    pub policy: Policy,
    /// How long a serving certificate is valid; it is replaced at half of it.
    pub serving_ttl: Duration,
    /// How often the dates are looked at. It must be short against the other durations.
    pub check_interval: Duration,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Settings {
    /// The settings of a control plane in `namespace`, with durations that suit a cluster.
    pub fn new(
        namespace: &str,
        names: Names,
        cluster_domain: &str,
        ignored_namespaces: BTreeSet<String>,
    ) -> Self {
        Self {
            namespace: namespace.to_owned(),
            names,
            cluster_domain: cluster_domain.to_owned(),
            ignored_namespaces,
            policy: Policy::default(),
            serving_ttl: Duration::from_secs(24 * 60 * 60),
            check_interval: Duration::from_secs(30),
            clock: Arc::new(SystemTime::now),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("namespace", &self.namespace)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What the loops know. `None` and `Unknown` mean that the API server has not answered yet.
#[derive(Debug)]
struct Knowledge {
    /// The keyring that the Secret holds.
    keyring: watch::Sender<Option<Arc<Keyring>>>,
    /// The mutating webhook configuration as it is.
    configuration: watch::Sender<Configuration>,
    /// The namespaces that get the trust anchors.
    namespaces: watch::Sender<BTreeSet<String>>,
    /// The bundle that every one of them has.
    distributed: watch::Sender<Option<Arc<str>>>,
    /// Whether a certificate is served that the API server can verify.
    ready: watch::Sender<bool>,
}

/// This replica's part in the trust of the mesh. Cheap to create; [`run`](Self::run) does the work.
#[derive(Debug)]
pub struct Trust {
    /// What this replica serves: for `outrigger_certs::server_config`.
    pub serving: Arc<ServingCertificate>,
    settings: Settings,
    knowledge: Knowledge,
}

impl Trust {
    /// Knows nothing and serves nothing yet.
    pub fn new(settings: Settings) -> Self {
        let knowledge = Knowledge {
            keyring: watch::Sender::new(None),
            configuration: watch::Sender::new(Configuration::Unknown),
            namespaces: watch::Sender::new(BTreeSet::new()),
            distributed: watch::Sender::new(None),
            ready: watch::Sender::new(false),
        };
        Self {
            serving: Arc::default(),
            settings,
            knowledge,
        }
    }

    /// True while a valid certificate is served and every webhook of the configuration trusts its authority. A configuration
    /// that is not there needs no trust: discovery works without injection.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.knowledge.ready.subscribe()
    }

    /// When the authority that signs expires, for metrics.
    pub fn authority_not_after(&self) -> Option<SystemTime> {
        self.knowledge
            .keyring
            .borrow()
            .as_ref()
            .map(|keyring| keyring.signer().validity().not_after)
    }

    /// Keeps everything as it should be until `shutdown`. A failed API call is logged and made again.
    ///
    /// # Errors
    /// When a watch ends, which it never does.
    pub async fn run(
        &self,
        client: Client,
        world: watch::Receiver<World>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = self.keep(client) => ended,
            ended = root::follow(world, &self.settings, &self.knowledge) => ended,
        }
    }

    async fn keep(&self, client: Client) -> anyhow::Result<()> {
        let Self {
            serving,
            settings,
            knowledge,
        } = self;
        let injector = Kept {
            kind: ApiResource::erase::<MutatingWebhookConfiguration>(&()),
            name: &settings.names.webhook,
            known: &knowledge.configuration,
        };
        let validator = Kept {
            kind: ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
            name: &settings.names.validator,
            // Nothing waits for it: what cannot be validated is taken as it is.
            known: &watch::Sender::new(Configuration::Unknown),
        };
        tokio::try_join!(
            secret::keep(&client, settings, knowledge),
            ca_bundle::keep(&client, settings, knowledge, &injector),
            ca_bundle::keep(&client, settings, knowledge, &validator),
            root::keep(&client, settings, knowledge),
            issue::keep(serving, settings, knowledge),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
