//! By whose settings `outrigger inject` injects: a file's, the cluster's if one answers, else the built-in ones.
//! A part of `manifests`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, Config};

use crate::cli::SettingsArgs;
use crate::controller::{NATIVE_SIDECARS, version};
use crate::settings::{KEY, Settings};

/// How long a cluster may take to say what its settings are.
const PATIENCE: Duration = Duration::from_secs(2);
/// The chart's ConfigMap.
const CONFIG_MAP: &str = "outrigger";

/// The settings and where they are from.
pub(crate) async fn settings(args: &SettingsArgs) -> anyhow::Result<(Settings, String)> {
    let (mut settings, source) = found(args).await?;
    // As the controller has it.
    let ignored = &mut settings.injection.ignored_namespaces;
    ignored.push(args.outrigger_namespace.clone());
    Ok((settings, source))
}

async fn found(args: &SettingsArgs) -> anyhow::Result<(Settings, String)> {
    let namespace = &args.outrigger_namespace;
    if let Some(file) = &args.config {
        return Ok((read_settings(file)?, format!("those of {}", file.display())));
    }
    if let Some(file) = &args.values {
        let name = || file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(name)?;
        let settings = Settings::from_values(&text, namespace).with_context(name)?;
        return Ok((settings, format!("the chart's, with the values of {}", name())));
    }
    let built_in = |because: String| {
        let source = format!("the built-in ones, because {because}");
        Ok((Settings::default(), source))
    };
    let Ok(config) = Config::infer().await else {
        return built_in("there is no kubeconfig".into());
    };
    match tokio::time::timeout(PATIENCE, of_cluster(config, namespace)).await {
        Err(_) => built_in(format!("no cluster answered within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => built_in(format!("the cluster did not tell: {error}")),
        Ok(Ok(None)) => built_in(format!("the cluster has no ConfigMap {namespace}/{CONFIG_MAP}")),
        Ok(Ok(Some((text, version)))) => {
            let name = format!("ConfigMap {namespace}/{CONFIG_MAP} {KEY}");
            let mut settings = Settings::parse(&text).with_context(|| name.clone())?;
            let native = &mut settings.proxy.native_sidecar;
            native.get_or_insert(version >= NATIVE_SIDECARS);
            Ok((settings, format!("the cluster's, of {name}")))
        }
    }
}

/// The text of the settings and the version of Kubernetes.
async fn of_cluster(config: Config, namespace: &str) -> anyhow::Result<Option<(String, (u32, u32))>> {
    let client = Client::try_from(config)?;
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let Some(found) = config_maps.get_opt(CONFIG_MAP).await? else {
        return Ok(None);
    };
    let text = found.data.and_then(|mut data| data.remove(KEY));
    let text = text.ok_or_else(|| anyhow!("ConfigMap {namespace}/{CONFIG_MAP} has no {KEY}"))?;
    Ok(Some((text, version(&client).await?)))
}

/// Settings from a file.
///
/// # Errors
/// That it cannot be read, or the field that is wrong.
pub fn read_settings(file: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Settings::parse(&text).with_context(|| file.display().to_string())
}
