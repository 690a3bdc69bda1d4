//! Who changes pods when they are created: our MutatingWebhookConfiguration as the API server has it, and those of others.
//! Pure. Before it: `cluster`, which read them. After it: `report`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde_json::Value;

use super::certificates::{Authorities, Bundle};
use super::kubernetes::name;
use super::namespaces::Labelled;
use super::verdict::{Verdict, few};

type Labels = BTreeMap<String, String>;

/// Services of other meshes' injectors, and whose they are.
const OTHER_MESHES: [(&str, &str); 3] = [
    ("istiod", "Istio"),
    ("linkerd-proxy-injector", "Linkerd"),
    ("kuma-control-plane", "Kuma"),
];

/// The webhooks of a configuration.
fn webhooks(configuration: &Value) -> impl Iterator<Item = &Value> {
    configuration["webhooks"].as_array().into_iter().flatten()
}

/// Whether every webhook of ours trusts the authority that signs what the webhook serves.
pub(super) fn ca_bundle(
    configuration: &Value,
    authorities: &Authorities,
    now: std::time::SystemTime,
) -> Verdict {
    const CHECK: &str = "ca_bundle";
    let restart = "see the control plane's log; it writes the caBundle itself";
    for webhook in webhooks(configuration) {
        let name = webhook["name"].as_str().unwrap_or_default();
        let bundle = Bundle::of_base64(&webhook["clientConfig"]["caBundle"]);
        let problem = match (&bundle, authorities) {
            (Err(problem), _) => Some(problem.clone()),
            (Ok(bundle), Authorities::Known { signer, .. }) if !bundle.has(signer) => {
                Some("does not have the authority in the Secret outrigger-ca".to_owned())
            }
            (Ok(bundle), Authorities::Known { signer, .. }) => bundle.expired(signer, now),
            (Ok(bundle), _) => bundle.all_expired(now),
        };
        if let Some(problem) = problem {
            return Verdict::fail(
                CHECK,
                format!("the caBundle of webhook {name} {problem}"),
                restart,
            );
        }
    }
    match webhooks(configuration).count() {
        0 => Verdict::fail(
            CHECK,
            format!(
                "MutatingWebhookConfiguration {} has no webhooks",
                self::name(configuration)
            ),
            "helm upgrade puts them back",
        ),
        count => Verdict::ok(
            CHECK,
            format!("{count} webhooks trust the control plane's authority"),
        ),
    }
}

/// What happens to pods while nobody answers.
pub(super) fn failure_policy(configuration: &Value) -> Verdict {
    const CHECK: &str = "failure_policy";
    let ignores = webhooks(configuration).any(|webhook| webhook["failurePolicy"] == "Ignore");
    match ignores {
        true => Verdict::warn(
            CHECK,
            "Ignore: while the injector is away, pods start without a proxy, and nobody is told",
            "set webhook.failurePolicy to Fail, or run this command often",
        ),
        false => Verdict::ok(CHECK, "Fail: no pod that asks for a proxy starts without one"),
    }
}

/// Whether ours leaves alone the namespaces without which it cannot start.
pub(super) fn spared(configuration: &Value, namespaces: &Labelled, own: &str) -> Verdict {
    const CHECK: &str = "own_namespaces";
    for namespace in [own, "kube-system"] {
        let Some(labels) = namespaces.get(namespace) else {
            continue;
        };
        let selecting = webhooks(configuration).find(|webhook| selects(webhook, labels));
        if let Some(webhook) = selecting {
            return Verdict::fail(
                CHECK,
                format!(
                    "our webhook {} selects the namespace {namespace}: neither could start without the other",
                    webhook["name"].as_str().unwrap_or_default()
                ),
                "helm upgrade puts the selectors back",
            );
        }
    }
    Verdict::ok(CHECK, format!("our webhooks leave {own} and kube-system alone"))
}

/// The webhooks of others that the control plane's own pods have to pass.
pub(super) fn in_our_way(configurations: &[Value], ours: &str, labels: &Labels, own: &str) -> Verdict {
    const CHECK: &str = "webhooks_of_others";
    let foreign = configurations
        .iter()
        .filter(|configuration| name(configuration) != ours);
    let stops = |webhook: &&Value| {
        webhook["failurePolicy"] != "Ignore" && sees_new_pods(webhook) && selects(webhook, labels)
    };
    let names: Vec<_> = foreign
        .flat_map(webhooks)
        .filter(stops)
        .filter_map(|webhook| webhook["name"].as_str())
        .collect();
    match names[..] {
        [] => Verdict::ok(
            CHECK,
            format!("no other webhook can keep the pods of {own} from starting"),
        ),
        _ => Verdict::warn(
            CHECK,
            format!("while {} does not answer, no pod of {own} can start", few(names)),
            format!("have its namespaceSelector leave out {own}"),
        ),
    }
}

/// Injectors of other meshes. Two proxies in one pod would capture each other's connections, so the second one leaves it
/// alone, and which is the second depends on the names of the configurations.
pub(super) fn other_meshes(configurations: &[Value], enabled: &Labelled) -> Verdict {
    const CHECK: &str = "other_meshes";
    let mut found = vec![];
    for webhook in configurations.iter().flat_map(webhooks) {
        let service = webhook["clientConfig"]["service"]["name"]
            .as_str()
            .unwrap_or_default();
        let mesh = OTHER_MESHES
            .iter()
            .find(|(injector, _)| service.starts_with(injector));
        let Some((_, mesh)) = mesh else { continue };
        if !sees_new_pods(webhook) {
            continue;
        }
        let shared: Vec<_> = enabled
            .iter()
            .filter(|(_, labels)| selects(webhook, labels))
            .map(|(name, _)| name.as_str())
            .collect();
        if !shared.is_empty() {
            return Verdict::warn(
                CHECK,
                format!(
                    "{mesh} injects pods of {} as well: each pod gets one of the two proxies",
                    few(shared)
                ),
                format!(
                    "label these namespaces for one of the two: istio.io/rev names an installation of {mesh} or of Outrigger"
                ),
            );
        }
        found.push(*mesh);
    }
    found.dedup();
    match found[..] {
        [] => Verdict::ok(CHECK, "no other mesh injects pods"),
        _ => Verdict::ok(
            CHECK,
            format!(
                "{} is here and injects none of our namespaces",
                found.join(" and ")
            ),
        ),
    }
}

fn sees_new_pods(webhook: &Value) -> bool {
    let rules = webhook["rules"].as_array().into_iter().flatten();
    let has = |list: &Value, wanted: &str| {
        let mut list = list.as_array().into_iter().flatten();
        list.any(|item| item == wanted || item == "*")
    };
    rules.into_iter().any(|rule| {
        has(&rule["operations"], "CREATE") && has(&rule["resources"], "pods") && has(&rule["apiGroups"], "")
    })
}

/// Whether the webhook is asked about pods in a namespace with these labels. A selector that cannot be read is taken for
/// one that selects.
fn selects(webhook: &Value, labels: &Labels) -> bool {
    match &webhook["namespaceSelector"] {
        Value::Null => true,
        selector => serde_json::from_value::<LabelSelector>(selector.clone())
            .ok()
            .and_then(|selector| Selector::try_from(selector).ok())
            .is_none_or(|selector| selector.matches(labels)),
    }
}

#[cfg(test)]
mod tests;
