//! What a pod's owner should hear although the pod is accepted: a wish that was not granted, and what the proxy will not see.
//! Before it: `decide`. After it: the AdmissionReview's warnings, which kubectl prints, or the notes of `manifest`.

use serde_json::Value;

use super::decide::Subject;
use super::pod::name;
use super::reason::Reason;

/// The ports that the proxy listens on in the pod's network.
const PROXY_PORTS: [u64; 5] = [15000, 15001, 15006, 15020, 15021];

/// The warnings for a pod about which was decided; `uid` is the proxy's.
pub(super) fn warnings(subject: &Subject, reason: Reason, uid: u32) -> Vec<String> {
    if reason.injects() {
        return exempt(subject, uid).chain(taken_ports(subject)).collect();
    }
    let because = reason.because();
    let refused = (subject.pod_asks() && reason != Reason::AlreadyInjected)
        .then(|| format!("the pod asks for a sidecar and gets none, because {because}"));
    refused.into_iter().collect()
}

/// iptables know the proxy by its user id: what else runs with it is not captured.
fn exempt<'a>(subject: &'a Subject, uid: u32) -> impl Iterator<Item = String> + use<'a> {
    let user = |holder: &Value| holder["securityContext"]["runAsUser"].as_u64();
    let pods = subject
        .pod
        .spec
        .get("securityContext")
        .and_then(|context| context["runAsUser"].as_u64());
    let same = move |container: &&Value| user(container).or(pods) == Some(uid.into());
    subject.pod.containers.iter().filter(same).map(move |container| {
        let name = name(container);
        format!("container {name} runs as user {uid}, which is the proxy's: its connections bypass the mesh")
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
    use crate::inject::pod::Pod;
    use crate::settings::Injection;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn check(spec: Value, expected: &[&str]) {
        let pod = json!({"spec": spec});
        let subject = Subject {
            pod: &Pod::read(&pod, "").expect("a pod"),
            namespace: "shop",
            namespace_labels: &BTreeMap::new(),
            injection: &Injection::default(),
        };
        assert_eq!(
            warnings(&subject, Reason::NamespaceLabel, 1337),
            expected,
            "{pod}"
        );
    }

    #[test]
    fn what_the_proxy_will_not_see_is_said() {
        let user = |uid: u32| json!({"runAsUser": uid});
        let same = "container a runs as user 1337, which is the proxy's: its connections bypass the mesh";
        let port = "container a has port 15006, which the proxy listens on: one of the two cannot start";
        check(
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 8080}]}]}),
            &[],
        );
        check(
            json!({"containers": [{"name": "a", "securityContext": user(1337)}, {"name": "b"}]}),
            &[same],
        );
        check(
            json!({"containers": [{"name": "a"}], "securityContext": user(1337)}),
            &[same],
        );
        let own = json!({"name": "a", "securityContext": user(1)});
        check(json!({"containers": [own], "securityContext": user(1337)}), &[]);
        check(
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 15006}]}]}),
            &[port],
        );
        let udp = json!([{"containerPort": 15006, "protocol": "UDP"}]);
        check(json!({"containers": [{"name": "a", "ports": udp}]}), &[]);
        check(json!({"containers": [{"name": "a", "ports": "none"}]}), &[]);
    }
}
