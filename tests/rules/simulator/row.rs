//! One row: requests until everything that its outcome promises has been seen, and nothing else has. Before: `town` has the
//! proxies. After: `judge` looks at each answer, and `experiments` for what takes a request of its own kind.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Request, exchange, hello, request};
use super::expected::{End, Expected};
use super::pods::{ANSWER, Arrived, MARK, meant};
use super::town::Town;
use super::{Unseen, experiments};
use crate::rules::case::Row;
use crate::rules::request::Asked;

/// Shares below this, in percent, are not waited for.
const RARE: f64 = 5.0;
/// Times above this are not waited for.
pub(super) const LONG: Duration = Duration::from_secs(1);
/// Two requests one after the other go to two pods, if there are two: a subset that is none would be seen.
const LEAST: usize = 2;
/// With a share of 5 %, fewer in a billion billions see nothing.
const MOST: usize = 800;
/// What the value of a header is before an operation on it.
pub(super) const BEFORE: &str = "before";

/// What a row's requests showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) differences: Vec<String>,
    pub(super) unseen: Vec<Unseen>,
}

/// A row on its way.
pub(super) struct Look<'a> {
    pub(super) town: &'a Town<'a>,
    pub(super) asked: Asked<'a>,
    pub(super) expected: Expected,
    /// The proxy's port.
    pub(super) port: SocketAddr,
    /// What is on the wire where the outcome does not say.
    pub(super) on_wire: Option<&'a str>,
    index: usize,
}

/// All that the outcome promises.
pub(super) async fn look(town: &Town<'_>, index: usize, row: &Row) -> Seen {
    let asked = Asked::parse(&row.asked);
    let (dialled, port) = town.way(&row.asked);
    let number = dialled.rsplit(':').next().and_then(|port| port.parse().ok());
    let look = Look {
        town,
        asked,
        expected: Expected::parse(&row.expected, number.expect("a port")),
        port,
        on_wire: row.seen.as_deref(),
        index,
    };
    let mut seen = Seen::default();
    let looked = match look.asked.method {
        "TCP" | "TLS" => look.connections().await,
        _ => look.requests(&mut seen.unseen).await,
    };
    seen.differences.extend(looked.err());
    if matches!(look.asked.method, "TCP" | "TLS") || !seen.differences.is_empty() {
        return seen;
    }
    seen.differences
        .extend(experiments::all(&look, &mut seen.unseen).await.err());
    seen
}

impl Look<'_> {
    /// What has to be seen, and what need not.
    fn goals(&self, unseen: &mut Vec<Unseen>) -> BTreeSet<String> {
        let Expected { delay, abort, .. } = &self.expected;
        let mut goals = match self.expected.is_always_aborted() {
            true => BTreeSet::new(),
            false => self.ends(),
        };
        let mut share = |percent: f64, goal: String| {
            if percent < RARE {
                unseen.push(Unseen::Rare);
            } else {
                goals.insert(goal);
            }
        };
        if let Some((percent, _)) = delay {
            share(*percent, "delay".to_owned());
        }
        if let Some((percent, _)) = abort {
            share(*percent, "abort".to_owned());
        }
        for (at, (percent, _)) in self.expected.mirrors.iter().enumerate() {
            share(*percent, format!("mirror {at}"));
        }
        goals
    }

    /// The pods, and the shares that lead nowhere.
    fn ends(&self) -> BTreeSet<String> {
        let End::Backends(backends) = &self.expected.end else {
            return BTreeSet::new();
        };
        let mut ends = BTreeSet::new();
        for backend in backends {
            match &backend.to {
                Ok(to) => ends.extend(meant(&self.town.behind, to)),
                Err(why) => {
                    ends.insert(why.clone());
                }
            }
        }
        assert!(!ends.is_empty(), "{}: no pod is meant", self.town.title);
        ends
    }

    async fn connections(&self) -> Result<(), String> {
        let mut goals = self.ends();
        let bytes = match self.asked.method {
            "TLS" => hello(&self.town.trust.client, self.asked.server_name),
            _ => b"\x01neither HTTP nor TLS".to_vec(),
        };
        for count in 0..MOST {
            if count >= LEAST && goals.is_empty() {
                return Ok(());
            }
            let read = exchange(self.port, &bytes, true).await;
            if read.is_empty() {
                // Why there is no pod is in the log.
                let End::Backends(backends) = &self.expected.end else {
                    return Err("is closed".to_owned());
                };
                let whys: Vec<_> = backends.iter().filter_map(|one| one.to.as_ref().err()).collect();
                if whys.is_empty() {
                    return Err("is closed".to_owned());
                }
                for why in whys {
                    goals.remove(why);
                }
                continue;
            }
            let at = read.iter().position(|byte| *byte == b'\n').unwrap_or_default();
            let (pod, rest) = read.split_at(at);
            let pod = String::from_utf8_lossy(pod).into_owned();
            if rest.get(1..) != Some(&bytes) {
                return Err(format!("{pod} got {:?}", String::from_utf8_lossy(rest)));
            }
            if !self.ends().contains(&pod) {
                return Err(format!("goes to {pod}"));
            }
            goals.remove(&pod);
        }
        Err(format!("never seen: {goals:?}"))
    }

    async fn requests(&self, unseen: &mut Vec<Unseen>) -> Result<(), String> {
        if let Some((percent, delay)) = self.expected.delay
            && delay > LONG
            && percent >= 100.0
        {
            unseen.push(Unseen::Long);
            return Ok(());
        }
        let mut goals = self.goals(unseen);
        for count in 0..MOST {
            if count >= LEAST && goals.is_empty() {
                return Ok(());
            }
            let mark = self.mark(&format!("try {count}"));
            let response = request(self.port, &self.request(&mark, &[])).await;
            self.judge(&mark, &response, &mut goals).await?;
        }
        Err(format!("never seen: {goals:?}"))
    }

    pub(super) fn mark(&self, what: &str) -> String {
        format!("{} / {} / {what}", self.town.title, self.index)
    }

    /// As the row says, with headers for the operations to work on.
    pub(super) fn request(&self, mark: &str, more: &[(&str, &str)]) -> Request {
        let mut headers = vec![("host", self.asked.authority), (MARK, mark)];
        headers.extend(self.asked.headers.iter().copied());
        headers.extend(more);
        let mut headers: Vec<_> = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (on_request, name) in self.worked_on() {
            headers.push(match on_request {
                true => (name.to_owned(), BEFORE.to_owned()),
                false => (format!("{ANSWER}-{name}"), BEFORE.to_owned()),
            });
        }
        Request {
            method: self.asked.method.to_owned(),
            target: self.asked.target(),
            headers,
        }
    }

    /// The headers that operations work on, each once, those of requests with `true`.
    pub(super) fn worked_on(&self) -> BTreeSet<(bool, &str)> {
        let own = match &self.expected.end {
            End::Backends(backends) => backends.as_slice(),
            _ => &[],
        };
        let own = own.iter().flat_map(|backend| &backend.operations);
        let all = own.chain(&self.expected.operations);
        let all = all.filter(|operation| operation.authority().is_none());
        all.map(|operation| (operation.on_request, operation.name.as_str()))
            .collect()
    }

    /// Those that a pod of this row may be.
    pub(super) fn is_meant(&self, arrived: &Arrived) -> bool {
        self.ends().contains(&arrived.pod)
    }
}
