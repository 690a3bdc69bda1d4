//! Reads one annotation after the other and keeps where each value came from. A part of `options`.

use std::fmt::{self, Display};

use serde_json::Value;

use crate::inject::Refusal;
use crate::inject::pod::Pod;

/// One of the values that a pod was injected with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chosen {
    /// Its name in the settings.
    pub name: &'static str,
    /// The value as text.
    pub value: String,
    /// Who said so.
    pub source: Source,
}

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// The settings, which are the built-in ones where nobody said otherwise.
    Settings,
    /// An annotation of the pod.
    Annotation(&'static str),
    /// Another field of the pod, or of its namespace, with the reason.
    Because(String),
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings => f.write_str("settings"),
            Self::Annotation(key) => write!(f, "annotation {key}"),
            Self::Because(reason) => f.write_str(reason),
        }
    }
}

/// Istio's annotation with a whole ProxyConfig, of which one field means something here.
const PROXY_CONFIG: &str = "proxy.istio.io/config";
const HOLD: &str = "holdApplicationUntilProxyStarts";

/// How long Kubernetes waits between SIGTERM and SIGKILL when the pod does not say.
const GRACE_SECONDS: u64 = 30;

pub(super) struct Reader<'p, 'a> {
    pub(super) pod: &'p Pod<'a>,
    /// Every value with where it came from, if somebody wants to know.
    pub(super) described: Option<Vec<Chosen>>,
    pub(super) warnings: Vec<String>,
}

impl<'p, 'a> Reader<'p, 'a> {
    pub(super) fn new(pod: &'p Pod<'a>) -> Self {
        Self {
            pod,
            described: None,
            warnings: vec![],
        }
    }

    pub(super) fn describing(pod: &'p Pod<'a>) -> Self {
        Self {
            described: Some(vec![]),
            ..Self::new(pod)
        }
    }

    /// The annotation's value, or the setting's if there is no such annotation.
    pub(super) fn read<T: Display, E: Display>(
        &mut self,
        name: &'static str,
        annotation: &'static str,
        setting: T,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Refusal> {
        let (value, source) = match self.pod.annotation(annotation) {
            None => (setting, Source::Settings),
            Some(text) => {
                let value = parse(text).map_err(|problem| self.bad(annotation, text, &problem))?;
                (value, Source::Annotation(annotation))
            }
        };
        self.describe(name, &value, source);
        Ok(value)
    }

    pub(super) fn describe(&mut self, name: &'static str, value: &impl ToString, source: Source) {
        if let Some(described) = &mut self.described {
            described.push(Chosen {
                name,
                value: value.to_string(),
                source,
            });
        }
    }

    /// The refusal of an annotation's value.
    pub(super) fn bad(&self, annotation: &str, value: &str, problem: &impl ToString) -> Refusal {
        Refusal::Value {
            path: self.pod.path(&format!("metadata.annotations[{annotation:?}]")),
            value: value.chars().take(200).collect(),
            problem: problem.to_string(),
        }
    }

    /// Whether the application waits for an ordinary container's proxy: a field of Istio's ProxyConfig.
    pub(super) fn hold(&mut self, setting: bool) -> Result<bool, Refusal> {
        let name = "proxy.holdApplicationUntilProxyStarts";
        let Some(text) = self.pod.annotation(PROXY_CONFIG) else {
            self.describe(name, &setting, Source::Settings);
            return Ok(setting);
        };
        let expected = format!("it must be a YAML object such as `{HOLD}: true`");
        let config: Option<Value> =
            serde_saphyr::from_str(text).map_err(|_| self.bad(PROXY_CONFIG, text, &expected))?;
        let fields = match &config {
            None | Some(Value::Null) => None,
            Some(Value::Object(fields)) => Some(fields),
            Some(_) => return Err(self.bad(PROXY_CONFIG, text, &expected)),
        };
        let others = fields
            .into_iter()
            .flat_map(|fields| fields.keys())
            .filter(|key| *key != HOLD);
        for key in others {
            self.warnings.push(format!(
                "the annotation {PROXY_CONFIG} sets {key}, which has no effect here"
            ));
        }
        match fields.and_then(|fields| fields.get(HOLD)) {
            None => self.describe(name, &setting, Source::Settings),
            Some(Value::Bool(hold)) => {
                self.describe(name, hold, Source::Annotation(PROXY_CONFIG));
                return Ok(*hold);
            }
            Some(_) => return Err(self.bad(PROXY_CONFIG, text, &expected)),
        }
        Ok(setting)
    }

    /// How long to drain: never longer than the kubelet waits, less what ending itself takes.
    pub(super) fn drain_seconds(&mut self, setting: u32) -> u32 {
        let name = "proxy.drainSeconds";
        let field = "terminationGracePeriodSeconds";
        let grace = self.pod.spec.get(field).and_then(Value::as_u64);
        let most = u32::try_from(grace.unwrap_or(GRACE_SECONDS).saturating_sub(2)).unwrap_or(u32::MAX);
        if setting <= most {
            self.describe(name, &setting, Source::Settings);
            return setting;
        }
        let reason = match grace {
            Some(grace) => format!("the pod's {field} is {grace}"),
            None => format!("{field} is {GRACE_SECONDS} by default"),
        };
        self.describe(name, &most, Source::Because(reason));
        most
    }
}

/// As Go's `strconv.ParseBool`, with which Istio reads its annotations.
pub(super) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it must be \"true\" or \"false\""),
    }
}

/// Envoy's names of levels, as a filter of ours.
pub(super) fn log_level(text: &str) -> Result<String, &'static str> {
    match text {
        "trace" | "debug" | "info" | "off" => Ok(text.into()),
        "warning" | "warn" => Ok("warn".into()),
        "error" | "critical" => Ok("error".into()),
        _ => Err("it must be one of trace, debug, info, warning, error, critical, off"),
    }
}

/// What can be an image reference: its characters. What it means is the registry's business.
pub(super) fn image(text: &str) -> Result<String, &'static str> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    match !text.is_empty() && text.len() <= 1024 && text.bytes().all(known) {
        true => Ok(text.into()),
        false => Err("it must be an image reference such as registry.example/outrigger:1.0"),
    }
}

pub(super) fn interception_mode(text: &str) -> Result<String, &'static str> {
    match text {
        "REDIRECT" => Ok(text.into()),
        "TPROXY" => {
            Err("it must be REDIRECT: the proxy does not keep the client's address, for which TPROXY is made")
        }
        _ => Err(
            "it must be REDIRECT; for capture that something else sets up, use outrigger.dev/capture: external",
        ),
    }
}
