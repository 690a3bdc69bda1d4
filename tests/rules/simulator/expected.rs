//! A row's outcome, taken apart into what can be seen of it. Before: `case` read the row. After: `row` looks for it.

use std::collections::BTreeMap;
use std::time::Duration;

/// What becomes of a request or a connection.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) end: End,
    /// Of the route, after those of the destination.
    pub(super) operations: Vec<Operation>,
    pub(super) authority: Option<String>,
    pub(super) rewrites_path: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Option<Retries>,
    pub(super) delay: Option<(f64, Duration)>,
    pub(super) abort: Option<(f64, u16)>,
    pub(super) mirrors: Vec<(f64, Destination)>,
    pub(super) cors: Option<Cors>,
}

#[derive(Debug, Default)]
pub(super) enum End {
    /// No rule is for it.
    #[default]
    NoRoute,
    /// Each of these gets some.
    Backends(Vec<Backend>),
    Redirect(u16),
    Answer(u16, String),
}

#[derive(Debug)]
pub(super) struct Backend {
    /// Or why there is nothing to reach.
    pub(super) to: Result<Destination, String>,
    pub(super) operations: Vec<Operation>,
}

#[derive(Debug)]
pub(super) struct Destination {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) on_request: bool,
    verb: String,
    pub(super) name: String,
    value: String,
}

#[derive(Debug)]
pub(super) struct Retries {
    pub(super) attempts: usize,
    pub(super) on: Vec<String>,
    pub(super) each: Option<Duration>,
    pub(super) backoff: bool,
}

#[derive(Debug, Default)]
pub(super) struct Cors {
    /// After `=`, `^` or `~`, as in the row.
    pub(super) origins: Vec<String>,
    /// By their names: `methods`, `headers`, `expose`, `age`, `credentials`.
    pub(super) says: BTreeMap<String, String>,
    pub(super) alone: bool,
}

impl Expected {
    /// `port` is the one that was dialled.
    pub(super) fn parse(text: &str, port: u16) -> Self {
        let mut parts = text.split("; ");
        let mut expected = Self {
            end: End::parse(parts.next().unwrap_or_default(), port),
            ..Self::default()
        };
        for part in parts {
            expected.add(part, port);
        }
        expected
    }

    fn add(&mut self, part: &str, port: u16) {
        let (first, rest) = part.split_once(' ').unwrap_or((part, ""));
        match first {
            "path" => self.rewrites_path = true,
            "authority" => self.authority = Some(rest.to_owned()),
            "request" | "response" => self.operations.extend(operations(part)),
            "timeout" => self.timeout = Some(time(rest)),
            "delay" => self.delay = Some(share(rest, time)),
            "abort" => self.abort = Some(share(rest, aborted)),
            "mirror" => self.mirrors.push(share(rest, |to| Destination::parse(to, port))),
            "cors" => self.cors = Some(Cors::parse(rest)),
            "no" => self.retries = Some(Retries::parse(0, "")),
            attempts => {
                let attempts = attempts.parse().unwrap_or_else(|_| panic!("{part}: what is it?"));
                let on = rest.strip_prefix("retries on ").expect("words");
                self.retries = Some(Retries::parse(attempts, on));
            }
        }
    }

    /// Whether none of it reaches a pod.
    pub(super) fn is_always_aborted(&self) -> bool {
        self.abort.is_some_and(|(percent, _)| percent >= 100.0)
    }

    /// What each try may take.
    pub(super) fn each_try(&self) -> Option<Duration> {
        let each = self.retries.as_ref().and_then(|retries| retries.each);
        match (self.timeout, each) {
            (Some(timeout), Some(each)) => Some(timeout.min(each)),
            (timeout, each) => timeout.or(each),
        }
    }
}

impl End {
    fn parse(text: &str, port: u16) -> Self {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        match first.parse::<u16>() {
            Ok(404) if rest.is_empty() => Self::NoRoute,
            Ok(status) if rest.starts_with('"') => Self::Answer(status, rest.trim_matches('"').to_owned()),
            Ok(status) if (300..400).contains(&status) => Self::Redirect(status),
            _ if text.contains(" | ") => {
                let shares = text.split(" | ").map(|share| {
                    let (_weight, backend) = share.split_once(' ').expect("a weight");
                    Backend::parse(backend, port)
                });
                Self::Backends(shares.collect())
            }
            _ => Self::Backends(vec![Backend::parse(text, port)]),
        }
    }
}

impl Backend {
    fn parse(text: &str, port: u16) -> Self {
        if let Some(why) = text.strip_prefix("503 ") {
            return Self {
                to: Err(why.to_owned()),
                operations: Vec::new(),
            };
        }
        let (to, own) = text.split_once(" [").unwrap_or((text, ""));
        Self {
            to: Ok(Destination::parse(to, port)),
            operations: operations(own.trim_end_matches(']')),
        }
    }
}

impl Destination {
    /// `HOST[:PORT][ SUBSET]`
    fn parse(text: &str, dialled: u16) -> Self {
        let (address, subset) = text.split_once(' ').unwrap_or((text, ""));
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().expect("a port")),
            None => (address, dialled),
        };
        let labels = subset.split(',').filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.split_once('=').unwrap_or(("version", label)));
        Self {
            host: host.to_owned(),
            port,
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// `request set NAME:VALUE, response remove NAME`
fn operations(text: &str) -> Vec<Operation> {
    let parts = text.split(", ").filter(|part| !part.is_empty());
    let parts = parts.map(|part| {
        let words: Vec<&str> = part.splitn(3, ' ').collect();
        let [side, verb, rest] = words[..] else {
            panic!("{part}: not an operation")
        };
        // `:authority` begins with one.
        let at = rest[1..].find(':').map_or(rest.len(), |at| at + 1);
        let (name, value) = rest.split_at(at);
        Operation {
            on_request: side == "request",
            verb: verb.to_owned(),
            name: name.to_owned(),
            value: value.trim_start_matches(':').replace("%%", "%"),
        }
    });
    parts.collect()
}

impl Operation {
    /// Whether it is about the authority, which is not a header everywhere.
    pub(super) fn authority(&self) -> Option<&str> {
        let authority = self.name == ":authority" || self.name.eq_ignore_ascii_case("host");
        (self.on_request && authority).then_some(&self.value)
    }

    /// What it makes of the values of its header.
    pub(super) fn apply(&self, values: &mut Vec<String>) {
        if self.verb != "add" {
            values.clear();
        }
        if self.verb != "remove" {
            values.push(self.value.clone());
        }
    }
}

impl Retries {
    /// `WORD,WORD [each TIME] [backoff TIME] [anywhere] [afar]`
    fn parse(attempts: usize, text: &str) -> Self {
        let mut words = text.split(' ');
        let on = words.next().unwrap_or_default().split(',').map(str::to_owned);
        let mut retries = Self {
            attempts,
            on: on.collect(),
            each: None,
            backoff: false,
        };
        while let Some(word) = words.next() {
            match word {
                "each" => retries.each = words.next().map(time),
                "backoff" => retries.backoff = words.next().is_some(),
                "anywhere" | "afar" => {}
                _ => panic!("{text}: what is {word}?"),
            }
        }
        retries
    }
}

impl Cors {
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let origins = words.next().unwrap_or_default().split(',').map(str::to_owned);
        let mut cors = Self {
            origins: origins.collect(),
            ..Self::default()
        };
        while let Some(word) = words.next() {
            match word {
                "alone" => cors.alone = true,
                _ => {
                    let value = words.next().expect("a value").to_owned();
                    cors.says.insert(word.to_owned(), value);
                }
            }
        }
        cors
    }

    /// An origin for each that is allowed by a text; a pattern has none to be made of it.
    pub(super) fn allowed(&self) -> impl Iterator<Item = String> {
        self.origins.iter().filter_map(|origin| match origin.split_at(1) {
            ("=", text) => Some(text.to_owned()),
            ("^", prefix) => Some(format!("{prefix}somewhere.example.org")),
            _ => None,
        })
    }
}

/// `PERCENT% WHAT`
fn share<T>(text: &str, of: impl Fn(&str) -> T) -> (f64, T) {
    let (percent, what) = text
        .split_once("% ")
        .unwrap_or_else(|| panic!("{text}: no share"));
    (percent.parse().expect("a number"), of(what))
}

/// The status that is seen: one of gRPC is the HTTP status that Envoy gives to others.
fn aborted(text: &str) -> u16 {
    match text {
        "grpc 14" => 503,
        status => status.parse().unwrap_or_else(|_| panic!("{text}: not a status")),
    }
}

/// As `Duration` is shown: `500ms`, `2.5s`.
pub(super) fn time(text: &str) -> Duration {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.trim_end_matches('s'), 1.0),
    };
    let number: f64 = number.parse().unwrap_or_else(|_| panic!("{text}: not a time"));
    Duration::from_secs_f64(number * unit)
}
