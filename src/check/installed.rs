//! The checks of an installation, from its settings to an answer of its webhook: what is read for each, and who judges it.
//! Before it: `check`, which has looked at the cluster. After it: `report`.

use std::time::SystemTime;

use serde_json::Value;

use super::certificates::Authorities;
use super::cluster::{Cluster, Read};
use super::namespaces::{Labelled, Namespaces};
use super::verdict::Verdict;
use super::{CheckArgs, installation, judge, kubernetes, namespace_of, webhooks};
use crate::settings::{CaptureBy, Settings};
use crate::trust::Names;

/// What is known when the installation itself is looked at.
pub(super) struct Installed<'a> {
    pub(super) args: &'a CheckArgs,
    pub(super) cluster: &'a Cluster,
    pub(super) names: &'a Names,
    pub(super) settings: &'a Settings,
    pub(super) namespaces: &'a Read<Namespaces>,
    pub(super) enabled: &'a Labelled,
    pub(super) configurations: &'a Read<Vec<Value>>,
}

impl Installed<'_> {
    pub(super) async fn check(&self, checks: &mut Vec<Verdict>) -> anyhow::Result<()> {
        let now = SystemTime::now();
        checks.push(self.deployment().await?);
        let own = &self.args.system_namespace;
        let path = format!("/api/v1/namespaces/{own}/secrets/outrigger-ca");
        let authorities = match self.cluster.get(&path).await? {
            Ok(secret) => Authorities::of_secret(secret.as_ref()),
            Err(why) => Authorities::Unknown(why),
        };
        checks.push(authorities.judge(now));
        if let Ok(namespaces) = self.namespaces {
            checks.push(self.trust_anchors(namespaces, &authorities).await?);
        }
        match self.configurations {
            Err(why) => checks.push(Verdict::unknown("webhook_configuration", why)),
            Ok(configurations) => checks.extend(self.webhooks(configurations, &authorities, now)),
        }
        let needs_capabilities = self.settings.proxy.capture == CaptureBy::Init;
        checks.push(installation::pod_security(self.enabled, needs_capabilities));
        checks.push(self.answer().await);
        Ok(())
    }

    async fn deployment(&self) -> anyhow::Result<Verdict> {
        let (own, name) = (&self.args.system_namespace, &self.names.installation);
        let path = format!("/apis/apps/v1/namespaces/{own}/deployments/{name}");
        let found = self.cluster.get(&path).await?;
        Ok(judge("control_plane", &found, |found| match found {
            Some(found) => installation::deployment(found),
            None => Verdict::fail(
                "control_plane",
                format!("there is no Deployment {own}/{name}"),
                "install Outrigger, or name its --revision and --system-namespace",
            ),
        }))
    }

    async fn trust_anchors(
        &self,
        namespaces: &Namespaces,
        authorities: &Authorities,
    ) -> anyhow::Result<Verdict> {
        let fields = "metadata.name=outrigger-ca-root";
        let found = self.cluster.list("/api/v1/configmaps", fields).await?;
        Ok(judge("trust_anchors", &found, |found| {
            let found = found.iter().map(|map| (namespace_of(map), map.clone()));
            let ignored = &self.settings.injection.ignored_namespaces;
            let wanted = namespaces
                .lasting()
                .filter(|name| !ignored.iter().any(|ignored| ignored == name));
            installation::trust_anchors(&wanted.collect::<Vec<_>>(), &found.collect(), authorities)
        }))
    }

    fn webhooks(&self, configurations: &[Value], authorities: &Authorities, now: SystemTime) -> Vec<Verdict> {
        let (own, ours) = (&self.args.system_namespace, &self.names.webhook);
        let labels = self
            .namespaces
            .as_ref()
            .map(Namespaces::labels)
            .unwrap_or_default();
        let found = configurations
            .iter()
            .find(|configuration| kubernetes::name(configuration) == ours);
        let mut verdicts = match found {
            None => vec![Verdict::fail(
                "webhook_configuration",
                format!("there is no MutatingWebhookConfiguration {ours}: no pod is injected"),
                "helm upgrade --install puts it back",
            )],
            Some(found) => vec![
                webhooks::ca_bundle(found, authorities, now),
                webhooks::failure_policy(found),
                webhooks::spared(found, &labels, own),
            ],
        };
        if let Some(labels) = labels.get(own) {
            verdicts.push(webhooks::in_our_way(configurations, ours, labels, own));
        }
        verdicts
    }

    /// In the namespace that was named, else in one that is enabled.
    async fn answer(&self) -> Verdict {
        let named = self.args.namespace.as_ref();
        let namespace = named
            .or(self.enabled.keys().next())
            .map_or("default", String::as_str);
        let created = self.cluster.try_pod(namespace, &self.args.revision).await;
        installation::answer(namespace, created.as_ref())
    }
}
