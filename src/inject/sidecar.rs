//! What is done to a pod, as a value: containers and volumes, labels and annotations, and what they take the place of.
//! Before it: `options`. After it: `status`, which records it, and `patch`, which writes it.

mod containers;
mod declared;
mod metrics;
mod probes;

use serde_json::{Map, Value};

use super::options::Options;
use super::pod::{Pod, name};
use super::{Refusal, canonical};
use crate::settings::Settings;
pub(super) use containers::variable;

/// The container that sets up iptables and exits.
pub(super) const INIT: &str = "outrigger-init";
/// The container that is the proxy.
pub(crate) const PROXY: &str = "outrigger-proxy";
/// The volume with the bound token and the control plane's certificate authority.
pub(super) const VOLUME: &str = "outrigger-credentials";
/// Where both containers have it. It is the place of the token with which a pod speaks to the API, which Kubernetes puts
/// into every container that has nothing there (its admission plugin ServiceAccount): the sidecar must not speak in the
/// application's name, and as long as nothing is added to what the webhook answered, the API server does not ask again.
pub(super) const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The proxy's variable with the probes of the application.
pub(super) const PROBES: &str = "OUTRIGGER_PROBES";

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
const METRICS_PORT: u16 = 15020;
const READINESS_PORT: u16 = 15021;

/// What is done to one pod.
#[derive(Default)]
pub(super) struct Sidecar {
    /// Containers that the author wrote under the proxy's name, which come out before anything is added.
    pub(super) taken: Vec<Taken>,
    /// Containers to add, in this order; the place counts those that were added before.
    pub(super) containers: Vec<Addition>,
    pub(super) volumes: Vec<Value>,
    pub(super) labels: Vec<(String, String)>,
    pub(super) annotations: Vec<(String, String)>,
    pub(super) replaced: Vec<Replacement>,
    /// What the pod's owner should hear.
    pub(super) warnings: Vec<String>,
}

/// A container to add.
pub(super) struct Addition {
    /// `containers` or `initContainers`.
    pub(super) list: &'static str,
    pub(super) index: usize,
    pub(super) container: Value,
}

/// A container to take out.
pub(super) struct Taken {
    /// `containers` or `initContainers`.
    pub(super) list: &'static str,
    pub(super) index: usize,
    pub(super) container: Value,
}

/// A value that takes the place of another.
pub(super) struct Replacement {
    /// Where: fields with dots between them, and in brackets a container's name or an annotation's key.
    pub(super) at: String,
    pub(super) was: Value,
    pub(super) now: Value,
}

/// Says what to do. `workload` names the workload whose template this is, where the pod itself has no owner yet.
pub(super) fn sidecar(
    pod: &Pod,
    workload: Option<&str>,
    options: &Options,
    settings: &Settings,
) -> Result<Sidecar, Refusal> {
    refuse_taken_names(pod)?;
    let mut sidecar = Sidecar {
        labels: canonical::labels(pod, workload),
        ..Sidecar::default()
    };
    if pod.annotation(DEFAULT_CONTAINER).is_none() {
        let application = pod.containers.iter().find(|container| name(container) != PROXY);
        let application = application.map(|container| name(container).to_owned());
        sidecar
            .annotations
            .extend(application.map(|name| (DEFAULT_CONTAINER.to_owned(), name)));
    }
    let probes = match options.rewrite_probes {
        true => probes::rewrite(pod, options.native, options.hold, &mut sidecar),
        false => Map::new(),
    };
    let metrics = metrics::merge(pod, options, &mut sidecar);
    let proxy = containers::proxy(options, settings, &probes, metrics);
    let (proxy, taken) = declared::merge(proxy, options, &mut sidecar.warnings);
    sidecar.taken.extend(taken);
    place(
        pod,
        options,
        containers::init(options, settings),
        proxy,
        &mut sidecar,
    );
    sidecar.volumes.push(containers::credentials());
    sidecar.volumes.extend(options.volumes.iter().cloned());
    Ok(sidecar)
}

/// Native: in front of all, so that the author's own init containers have a network. Ordinary: iptables last of the init
/// containers, which have none through a proxy that does not run yet; and the proxy first, if the others wait for it.
fn place(pod: &Pod, options: &Options, init: Value, proxy: Value, sidecar: &mut Sidecar) {
    let left = |list: &str, all: usize| all - sidecar.taken.iter().filter(|it| it.list == list).count();
    let init_containers = left("initContainers", pod.init_containers.unwrap_or_default().len());
    let containers = left("containers", pod.containers.len());
    let at = |list, index, container| Addition {
        list,
        index,
        container,
    };
    sidecar.containers = match (options.native, options.hold) {
        (true, _) => vec![at("initContainers", 0, init), at("initContainers", 1, proxy)],
        (false, hold) => vec![
            at("initContainers", init_containers, init),
            at("containers", if hold { 0 } else { containers }, proxy),
        ],
    };
}

fn refuse_taken_names(pod: &Pod) -> Result<(), Refusal> {
    let containers = pod.all_containers().filter(|(_, name)| *name == INIT);
    let volumes = pod.all_volumes().filter(|(_, name)| *name == VOLUME);
    let containers = containers.map(|taken| ("container", taken));
    match containers.chain(volumes.map(|taken| ("volume", taken))).next() {
        None => Ok(()),
        Some((kind, (path, name))) => Err(Refusal::NameTaken {
            path,
            kind,
            name: name.into(),
        }),
    }
}

/// The probes of containers that were added since the pod was injected: what the proxy is to know, and what changes in the
/// containers.
pub(super) fn later_probes(pod: &Pod, native: bool, hold: bool) -> (Map<String, Value>, Sidecar) {
    let mut sidecar = Sidecar::default();
    let probes = probes::rewrite(pod, native, hold, &mut sidecar);
    (probes, sidecar)
}
