//! The user id of a pod's proxy: iptables know the proxy by it, so no other container of the pod may run with it.
//! A part of `options`.

use serde_json::Value;

use super::Declared;
use super::reader::{Reader, Source};
use crate::inject::pod::name;
use crate::inject::sidecar::PROXY;
use crate::inject::{Namespace, Refusal};

/// The id from the author's own proxy container, from OpenShift's range for the namespace, or from the settings; if
/// another container has it, the next that is free.
pub(super) fn uid(
    reader: &mut Reader,
    declared: Option<&Declared>,
    namespace: &Namespace,
    setting: u32,
) -> Result<u32, Refusal> {
    let taken = taken(reader);
    if let Some(wanted) = declared.and_then(|it| id(it.container, "runAsUser")) {
        let source = Source::Because(format!("the pod's own container {PROXY} runs as this user"));
        let problem = match (u32::try_from(wanted), taken.iter().find(|(_, id)| *id == wanted)) {
            (Ok(uid @ 1..), None) => {
                reader.describe("proxy.uid", &uid, source);
                return Ok(uid);
            }
            (_, Some((container, _))) => format!(
                "it must be a user that no other container runs as, and {container} does: its connections would bypass \
                 the mesh"
            ),
            _ => "it must be a user id above 0: the proxy never runs as root".into(),
        };
        return Err(Refusal::Value {
            path: reader
                .pod
                .path(&format!("spec…[{PROXY}].securityContext.runAsUser")),
            value: wanted.to_string(),
            problem,
        });
    }
    let (first, source) = match namespace.uid_range.and_then(first_of_range) {
        // As Istio: the first of the range is what OpenShift gives the application's containers.
        Some(first) => {
            let reason = "the namespace's annotation openshift.io/sa.scc.uid-range".to_owned();
            (first.saturating_add(1), Source::Because(reason))
        }
        None => (setting, Source::Settings),
    };
    let blocking = taken.iter().find(|(_, id)| *id == u64::from(first));
    let source = match blocking {
        None => source,
        Some((container, _)) => Source::Because(format!("container {container} runs as {first}")),
    };
    let free = |uid: &u32| taken.iter().all(|(_, id)| *id != u64::from(*uid));
    let uid = (first..=u32::MAX).find(free).unwrap_or(first);
    reader.describe("proxy.uid", &uid, source);
    Ok(uid)
}

/// The user and group ids that are known of the pod's own containers. What an image says is not known.
fn taken<'a>(reader: &Reader<'_, 'a>) -> Vec<(&'a str, u64)> {
    let pod = reader.pod;
    let whole = pod.spec.get("securityContext");
    let init = pod.init_containers.unwrap_or_default().iter();
    let others = init
        .chain(pod.containers)
        .filter(|container| name(container) != PROXY);
    others
        .flat_map(|container| {
            ["runAsUser", "runAsGroup"].into_iter().filter_map(move |field| {
                let inherited = || whole?.get(field)?.as_u64();
                Some((name(container), id(container, field).or_else(inherited)?))
            })
        })
        .collect()
}

fn id(container: &Value, field: &str) -> Option<u64> {
    container["securityContext"][field].as_u64()
}

/// OpenShift writes `FIRST/COUNT` or `FIRST-LAST`.
fn first_of_range(range: &str) -> Option<u32> {
    let (first, _) = range.split_once(['/', '-'])?;
    first.trim().parse().ok().filter(|first| *first > 0)
}
