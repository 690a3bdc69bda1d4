//! By whose settings `outrigger inject` injects: a file's, the cluster's if one answers, else the built-in ones.
//! A part of `manifests`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use crate::cli::SettingsArgs;
use crate::settings::Settings;

/// How long a cluster may take to say what its settings are.
const PATIENCE: Duration = Duration::from_secs(2);
/// The chart's ConfigMap, and the key in it.
const CONFIG_MAP: &str = "outrigger";
const KEY: &str = "config.yaml";

/// The settings and where they are from.
pub(crate) async fn settings(args: &SettingsArgs) -> anyhow::Result<(Settings, String)> {
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
        Ok((
            Settings::default(),
            format!("the built-in ones, because {because}"),
        ))
    };
    let found = match tokio::time::timeout(PATIENCE, of_cluster(namespace)).await {
        Err(_) => return built_in(format!("no cluster answered within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => return built_in(format!("no cluster answered: {error:#}")),
        Ok(Ok(found)) => found,
    };
    let Some(text) = found else {
        return built_in(format!("the cluster has no ConfigMap {namespace}/{CONFIG_MAP}"));
    };
    let name = || format!("ConfigMap {namespace}/{CONFIG_MAP} {KEY}");
    let settings = Settings::parse(&text).with_context(name)?;
    Ok((settings, format!("the cluster's, of {}", name())))
}

async fn of_cluster(namespace: &str) -> anyhow::Result<Option<String>> {
    let client = Client::try_default().await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let Some(found) = config_maps.get_opt(CONFIG_MAP).await? else {
        return Ok(None);
    };
    let text = found.data.and_then(|mut data| data.remove(KEY));
    text.map(Some)
        .ok_or_else(|| anyhow!("ConfigMap {namespace}/{CONFIG_MAP} has no {KEY}"))
}

/// Settings from a file.
///
/// # Errors
/// That it cannot be read, or the field that is wrong.
pub fn read_settings(file: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Settings::parse(&text).with_context(|| file.display().to_string())
}
