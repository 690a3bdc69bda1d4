//! What one pod gets: the settings, and where its annotations say otherwise; each value with where it came from.
//! Before it: `decide`. After it: `sidecar`, which writes it into containers.

mod identity;
mod ignored;
mod reader;
mod resources;
mod volumes;

use outrigger_proxy::init::InitArgs;
use outrigger_proxy::init::capture::{InboundPorts, Ports, Ranges};
use serde_json::Value;

use super::pod::Pod;
use super::sidecar::PROXY;
use super::{Namespace, Refusal};
use crate::settings::{CaptureBy, Resources, Settings};
use reader::Reader;
pub use reader::{Chosen, Source};

/// What one pod gets.
pub(super) struct Options<'a> {
    pub(super) image: String,
    pub(super) log_level: String,
    pub(super) resources: Resources,
    pub(super) native: bool,
    pub(super) hold: bool,
    pub(super) rewrite_probes: bool,
    pub(super) merge_metrics: bool,
    pub(super) capture: CaptureBy,
    /// What is captured. The user id in it is the proxy's.
    pub(super) init: InitArgs,
    pub(super) drain_seconds: u32,
    /// Volumes and mounts that the pod's author wants for the proxy.
    pub(super) volumes: Vec<Value>,
    pub(super) mounts: Vec<Value>,
    /// A container of the proxy's name that the author wrote, to be merged over ours.
    pub(super) declared: Option<Declared<'a>>,
    /// What of two wishes won, and what has no effect.
    pub(super) warnings: Vec<String>,
}

/// The author's own container of the proxy's name.
pub(super) struct Declared<'a> {
    /// `containers` or `initContainers`.
    pub(super) list: &'static str,
    pub(super) index: usize,
    pub(super) container: &'a Value,
}

impl<'a> Options<'a> {
    /// Reads the annotations of a pod that is to be injected.
    pub(super) fn read(pod: &Pod<'a>, namespace: &Namespace, settings: &Settings) -> Result<Self, Refusal> {
        Self::read_by(&mut Reader::new(pod), namespace, settings)
    }

    /// Every value with where it came from.
    pub(super) fn described(
        pod: &Pod<'a>,
        namespace: &Namespace,
        settings: &Settings,
    ) -> Result<Vec<Chosen>, Refusal> {
        let mut reader = Reader::describing(pod);
        Self::read_by(&mut reader, namespace, settings)?;
        Ok(reader.described.unwrap_or_default())
    }

    fn read_by(
        reader: &mut Reader<'_, 'a>,
        namespace: &Namespace,
        settings: &Settings,
    ) -> Result<Self, Refusal> {
        let proxy = &settings.proxy;
        let declared = declared(reader.pod)?;
        let image = reader.read(
            "proxy.image",
            "sidecar.istio.io/proxyImage",
            proxy.image.clone(),
            reader::image,
        )?;
        let log_level = reader.read(
            "proxy.logLevel",
            "sidecar.istio.io/logLevel",
            proxy.log_level.clone(),
            reader::log_level,
        )?;
        let native = reader.read(
            "proxy.nativeSidecar",
            "sidecar.istio.io/nativeSidecar",
            proxy.native_sidecar.unwrap_or(true),
            reader::boolean,
        )?;
        let hold = reader.hold(proxy.hold_application_until_proxy_starts)?;
        let rewrite_probes = rewriting(reader, settings)?;
        let merge_metrics = reader.read(
            "proxy.mergeMetrics",
            "prometheus.istio.io/merge-metrics",
            proxy.merge_metrics,
            reader::boolean,
        )?;
        let capture = reader.read(
            "proxy.capture",
            "outrigger.dev/capture",
            proxy.capture,
            str::parse,
        )?;
        reader.read(
            "interceptionMode",
            "sidecar.istio.io/interceptionMode",
            "REDIRECT".to_owned(),
            reader::interception_mode,
        )?;
        let resources = resources::resources(reader, &proxy.resources)?;
        let uid = identity::uid(reader, declared.as_ref(), namespace, proxy.uid)?;
        let init = InitArgs {
            proxy_uid: uid,
            ..captured(reader, settings)?
        };
        let drain_seconds = reader.drain_seconds(proxy.drain_seconds);
        let (volumes, mounts) = volumes::volumes(reader)?;
        ignored::warn(reader);
        Ok(Self {
            image,
            log_level,
            resources,
            native,
            hold,
            rewrite_probes,
            merge_metrics,
            capture,
            init,
            drain_seconds,
            volumes,
            mounts,
            declared,
            warnings: std::mem::take(&mut reader.warnings),
        })
    }
}

/// Whether the probes of a pod go through its proxy.
pub(super) fn rewrites_probes(pod: &Pod, settings: &Settings) -> Result<bool, Refusal> {
    rewriting(&mut Reader::new(pod), settings)
}

fn rewriting(reader: &mut Reader, settings: &Settings) -> Result<bool, Refusal> {
    reader.read(
        "proxy.rewriteAppProbes",
        "sidecar.istio.io/rewriteAppHTTPProbers",
        settings.proxy.rewrite_app_probes,
        reader::boolean,
    )
}

/// What is redirected: Istio's `traffic.sidecar.istio.io/*`.
fn captured(reader: &mut Reader, settings: &Settings) -> Result<InitArgs, Refusal> {
    let proxy = &settings.proxy;
    let include_inbound_ports = reader.read(
        "proxy.includeInboundPorts",
        "traffic.sidecar.istio.io/includeInboundPorts",
        proxy.include_inbound_ports.clone(),
        str::parse,
    )?;
    let exclude_inbound_ports = reader.read(
        "proxy.excludeInboundPorts",
        "traffic.sidecar.istio.io/excludeInboundPorts",
        proxy.exclude_inbound_ports.clone(),
        str::parse,
    )?;
    let include_outbound_ports = reader.read(
        "proxy.includeOutboundPorts",
        "traffic.sidecar.istio.io/includeOutboundPorts",
        proxy.include_outbound_ports.clone(),
        str::parse,
    )?;
    let exclude_outbound_ports = reader.read(
        "proxy.excludeOutboundPorts",
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        proxy.exclude_outbound_ports.clone(),
        str::parse,
    )?;
    let include_outbound_ranges = reader.read(
        "proxy.includeOutboundIPRanges",
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
        proxy.include_outbound_ip_ranges.clone(),
        str::parse,
    )?;
    let exclude_outbound_ranges = reader.read(
        "proxy.excludeOutboundIPRanges",
        "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        proxy.exclude_outbound_ip_ranges.clone(),
        str::parse,
    )?;
    let exclude_interfaces = reader.read(
        "proxy.excludeInterfaces",
        "traffic.sidecar.istio.io/excludeInterfaces",
        proxy.exclude_interfaces.clone(),
        str::parse,
    )?;
    let args = InitArgs {
        include_inbound_ports,
        exclude_inbound_ports,
        include_outbound_ports,
        exclude_outbound_ports,
        include_outbound_ranges,
        exclude_outbound_ranges,
        exclude_interfaces,
        ..InitArgs::default()
    };
    reader.warnings.extend(contradictions(&args));
    Ok(args)
}

/// What is named on both sides, and which side wins.
fn contradictions(args: &InitArgs) -> Vec<String> {
    let mut warnings = vec![];
    if matches!(args.include_inbound_ports, InboundPorts::Only(_))
        && args.exclude_inbound_ports != Ports::default()
    {
        warnings.push(
            "excludeInboundPorts has no effect beside a list in includeInboundPorts: the list is what is captured".into(),
        );
    }
    let mut excluded = |what: &str, both: Vec<String>| {
        if !both.is_empty() {
            let both = both.join(", ");
            warnings.push(format!(
                "{what} {both}: both included and excluded, and so not captured"
            ));
        }
    };
    let ports = args
        .include_outbound_ports
        .0
        .intersection(&args.exclude_outbound_ports.0);
    excluded("outbound ports", ports.map(ToString::to_string).collect());
    if let (Ranges::Only(included), Ranges::Only(excluding)) =
        (&args.include_outbound_ranges, &args.exclude_outbound_ranges)
    {
        let ranges = included.intersection(excluding);
        excluded("outbound IP ranges", ranges.map(ToString::to_string).collect());
    }
    warnings
}

/// The author's container of the proxy's name, in whichever list it is.
fn declared<'a>(pod: &Pod<'a>) -> Result<Option<Declared<'a>>, Refusal> {
    let lists = [
        ("initContainers", pod.init_containers.unwrap_or_default()),
        ("containers", pod.containers),
    ];
    let mut found = lists.into_iter().flat_map(|(list, containers)| {
        containers
            .iter()
            .enumerate()
            .map(move |(index, container)| Declared {
                list,
                index,
                container,
            })
    });
    let declared = found.find(|it| super::pod::name(it.container) == PROXY);
    match (&declared, pod.containers.len()) {
        (
            Some(Declared {
                list: "containers", ..
            }),
            1,
        ) => Err(Refusal::Value {
            path: pod.path("spec.containers"),
            value: PROXY.into(),
            problem:
                "it must hold the application's containers too: a proxy alone has nothing to stand beside"
                    .into(),
        }),
        _ => Ok(declared),
    }
}
