//! What a pod's owner should hear although the pod is accepted: a wish that was not granted, and what the proxy will not see.
//! Before it: `decide`. After it: the AdmissionReview's warnings, which kubectl prints, or the notes of `manifest`.

use serde_json::Value;

use super::decide::Subject;
use super::pod::name;
use super::reason::Reason;

/// The ports that the proxy listens on in the pod's network.
const PROXY_PORTS: [u64; 5] = [15000, 15001, 15006, 15020, 15021];

/// The labels and the annotation of which one may lose.
const INJECT: &str = "sidecar.istio.io/inject";
const REVISION: &str = "istio.io/rev";

/// The warnings for a pod about which was decided.
pub(super) fn warnings(subject: &Subject, reason: Reason) -> Vec<String> {
    if reason == Reason::AlreadyInjected {
        return vec![];
    }
    if reason.injects() {
        return overruled(subject, reason)
            .into_iter()
            .chain(taken_ports(subject))
            .chain(own_names(subject))
            .collect();
    }
    let because = reason.because();
    let refused = subject
        .pod_asks()
        .then(|| format!("the pod asks for a sidecar and gets none, because {because}"));
    refused.into_iter().collect()
}

/// Two wishes of which one wins.
fn overruled(subject: &Subject, reason: Reason) -> Vec<String> {
    let (pod, mut warnings) = (subject.pod, vec![]);
    if let (Some(label), Some(annotation)) = (pod.label(INJECT), pod.annotation(INJECT))
        && label != annotation
        && !label.is_empty()
    {
        warnings.push(format!(
            "the pod's label {INJECT} is {label:?} and its annotation {annotation:?}: the label counts"
        ));
    }
    if let Some(revision) = pod.label(REVISION).filter(|it| *it != subject.injection.revision) {
        let because = reason.because();
        warnings.push(format!(
            "the pod's label {REVISION} is {revision:?} and has no effect, because {because}"
        ));
    }
    warnings
}

/// The proxy finds the control plane by its name in the cluster.
fn own_names<'a>(subject: &'a Subject) -> impl Iterator<Item = String> + use<'a> {
    let policy = subject.pod.spec.get("dnsPolicy").and_then(Value::as_str);
    let foreign = policy.filter(|policy| ["Default", "None"].contains(policy));
    foreign.into_iter().map(|policy| {
        format!(
            "spec.dnsPolicy is {policy}: unless the pod's resolver knows the cluster's names, the proxy does not find the \
             control plane and the pod does not start"
        )
    })
}

fn taken_ports<'a>(subject: &'a Subject) -> impl Iterator<Item = String> + use<'a> {
    subject.pod.containers.iter().flat_map(|container| {
        let ports = container["ports"].as_array().into_iter().flatten();
        let tcp = ports.filter(|port| port["protocol"] != "UDP" && port["protocol"] != "SCTP");
        let numbers = tcp.filter_map(|port| port["containerPort"].as_u64());
        numbers.filter(|number| PROXY_PORTS.contains(number)).map(|number| {
            let name = name(container);
            format!("container {name} has port {number}, which the proxy listens on: one of the two cannot start")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::Namespace;
    use crate::inject::pod::Pod;
    use crate::settings::Injection;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn check(spec: Value, expected: &[&str]) {
        let pod = json!({"spec": spec});
        let subject = Subject {
            pod: &Pod::read(&pod, "").expect("a pod"),
            namespace: &Namespace {
                name: "shop",
                labels: &BTreeMap::new(),
                uid_range: None,
            },
            injection: &Injection::default(),
        };
        assert_eq!(warnings(&subject, Reason::NamespaceLabel), expected, "{pod}");
    }

    #[test]
    fn what_the_proxy_will_not_see_is_said() {
        let port = "container a has port 15006, which the proxy listens on: one of the two cannot start";
        check(
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 8080}]}]}),
            &[],
        );
        check(
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 15006}]}]}),
            &[port],
        );
        let udp = json!([{"containerPort": 15006, "protocol": "UDP"}]);
        check(json!({"containers": [{"name": "a", "ports": udp}]}), &[]);
        check(json!({"containers": [{"name": "a", "ports": "none"}]}), &[]);
    }
}
