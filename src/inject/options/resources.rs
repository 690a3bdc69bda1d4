//! The proxy's resources: each of Istio's four annotations replaces only its own amount. A part of `options`.

use super::reader::Reader;
use crate::inject::Refusal;
use crate::settings::{Quantity, Resources};

const CPU: [&str; 2] = ["sidecar.istio.io/proxyCPU", "sidecar.istio.io/proxyCPULimit"];
const MEMORY: [&str; 2] = [
    "sidecar.istio.io/proxyMemory",
    "sidecar.istio.io/proxyMemoryLimit",
];

pub(super) fn resources(reader: &mut Reader, settings: &Resources) -> Result<Resources, Refusal> {
    let mut resources = settings.clone();
    for (resource, names, [request, limit]) in [
        (
            "cpu",
            ["proxy.resources.requests.cpu", "proxy.resources.limits.cpu"],
            CPU,
        ),
        (
            "memory",
            ["proxy.resources.requests.memory", "proxy.resources.limits.memory"],
            MEMORY,
        ),
    ] {
        let [requested, limited] = [
            amount(reader, names[0], request, settings.requests.get(resource))?,
            amount(reader, names[1], limit, settings.limits.get(resource))?,
        ];
        let asked = [request, limit].map(|annotation| reader.pod.annotation(annotation).is_some());
        // A pod whose request is above its limit is not accepted: what the annotation says counts, and the other follows.
        let (requested, limited) = match (requested, limited) {
            (Some(requested), Some(limited)) if more(&requested, &limited) => match asked {
                [true, true] => {
                    let expected = format!("it must be at most {limit}, which is {limited}");
                    return Err(reader.bad(request, &requested, &expected));
                }
                [_, true] => {
                    let warning = format!("{limit} is {limited}, so the proxy requests no more than that");
                    reader.warnings.push(warning);
                    (Some(limited.clone()), Some(limited))
                }
                _ => {
                    let warning = format!("{request} is {requested}, so the proxy's limit is raised to it");
                    reader.warnings.push(warning);
                    (Some(requested.clone()), Some(requested))
                }
            },
            both => both,
        };
        resources
            .requests
            .extend(requested.map(|amount| (resource.to_owned(), amount)));
        resources
            .limits
            .extend(limited.map(|amount| (resource.to_owned(), amount)));
    }
    Ok(resources)
}

fn amount(
    reader: &mut Reader,
    name: &'static str,
    annotation: &'static str,
    setting: Option<&String>,
) -> Result<Option<String>, Refusal> {
    let quantity = |text: &str| match text.parse::<Quantity>() {
        Ok(_) => Ok(text.to_owned()),
        Err(expected) => Err(format!("it must be {expected}")),
    };
    let value = reader.read(
        name,
        annotation,
        setting.cloned().unwrap_or_else(|| "none".to_owned()),
        quantity,
    )?;
    Ok(Some(value).filter(|value| value != "none"))
}

fn more(one: &str, other: &str) -> bool {
    let amount = |text: &str| text.parse::<Quantity>().ok();
    amount(one) > amount(other)
}
