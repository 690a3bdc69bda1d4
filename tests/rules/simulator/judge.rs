//! One answer and what reached pods of its request: whether it is what the row's outcome says. Before: `row` has sent it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::client::Response;
use super::expected::{Backend, End, Operation};
use super::experiments::ABORTED;
use super::pods::{Arrived, POD, meant};
use super::row::{BEFORE, Look};
use crate::rules::outcome::short;

impl Look<'_> {
    /// Takes what was seen from the goals.
    pub(super) async fn judge(
        &self,
        mark: &str,
        response: &Response,
        goals: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let arrived = self.arrived(mark).await?;
        let (copies, arrived): (Vec<_>, Vec<_>) = arrived.into_iter().partition(Arrived::is_copy);
        for copy in copies {
            let to = self.copied_to(&copy.pod);
            let to = to.ok_or_else(|| format!("is copied to {}", copy.pod))?;
            goals.remove(&format!("mirror {to}"));
        }
        let Response { status, body, .. } = response;
        if let Some((_, abort)) = self.expected.abort
            && (*status, body.as_str()) == (abort, ABORTED)
            && arrived.is_empty()
        {
            goals.remove("abort");
            return Ok(());
        }
        let all = short(body);
        let is = || format!("{status}, {all:?}, at {:?}", names(&arrived));
        match &self.expected.end {
            End::NoRoute if *status == 404 && arrived.is_empty() => Ok(()),
            End::Redirect(code) if status == code && arrived.is_empty() => {
                let location = response.values("location").concat();
                self.on_wire(&location, "the Location")
            }
            End::Answer(code, text) if status == code && arrived.is_empty() => {
                if body != text {
                    return Err(is());
                }
                self.answered(&[], response)
            }
            End::Backends(backends) => {
                let nowhere = backends.iter().filter_map(|one| one.to.as_ref().err());
                let mut nowhere = nowhere.filter(|why| all.contains(why.as_str()));
                if let (503, true, Some(why)) = (*status, arrived.is_empty(), nowhere.next()) {
                    goals.remove(why);
                    return Ok(());
                }
                let [arrived] = &arrived[..] else { return Err(is()) };
                if *status != 200 || response.values(POD) != [arrived.pod.as_str()] {
                    return Err(is());
                }
                let to = |one: &&Backend| {
                    let to = one.to.as_ref();
                    to.is_ok_and(|to| meant(&self.town.behind, to).contains(&arrived.pod))
                };
                let backend = backends.iter().find(to);
                let backend = backend.ok_or_else(|| format!("goes to {}", arrived.pod))?;
                goals.remove(&arrived.pod);
                if let Some((_, delay)) = self.expected.delay
                    && response.took >= delay
                {
                    goals.remove("delay");
                }
                self.sent_on(&backend.operations, arrived)?;
                self.answered(&backend.operations, response)
            }
            _ => Err(is()),
        }
    }

    /// What reached pods, with the copies that every request has.
    async fn arrived(&self, mark: &str) -> Result<Vec<Arrived>, String> {
        let always = self
            .expected
            .mirrors
            .iter()
            .filter(|(percent, _)| *percent >= 100.0);
        let copies = always.count();
        let enough = |all: &[Arrived]| all.iter().filter(|one| one.is_copy()).count() >= copies;
        match copies {
            0 => Ok(self.town.pods.arrived(mark)),
            _ => {
                let arrived = self.town.pods.wait(mark, enough).await;
                arrived.ok_or_else(|| "is not copied".to_owned())
            }
        }
    }

    fn copied_to(&self, pod: &str) -> Option<usize> {
        let mut mirrors = self.expected.mirrors.iter();
        mirrors.position(|(_, to)| meant(&self.town.behind, to).contains(pod))
    }

    /// What the pod got is what was sent, but for what the outcome says.
    fn sent_on(&self, own: &[Operation], arrived: &Arrived) -> Result<(), String> {
        if arrived.method != self.asked.method {
            return Err(format!("the pod gets the method {}", arrived.method));
        }
        match self.expected.rewrites_path || self.on_wire.is_some() {
            true => self.on_wire(&arrived.target, "the pod's target")?,
            false if arrived.target != self.asked.path => {
                return Err(format!("the pod gets the target {}", arrived.target));
            }
            false => {}
        }
        let operations = || own.iter().chain(&self.expected.operations);
        let set = operations().filter_map(Operation::authority).next_back();
        let authority = set.or(self.expected.authority.as_deref());
        let host = arrived.values("host").concat();
        if host != authority.unwrap_or(self.asked.authority) {
            return Err(format!("the pod gets the host {host}"));
        }
        self.compare(true, operations(), |name| arrived.values(name))?;
        for (name, _) in &self.asked.headers {
            let sent = self.asked.headers.iter();
            let sent = sent.filter(|(other, _)| other.eq_ignore_ascii_case(name));
            let sent: Vec<_> = sent.map(|(_, value)| *value).collect();
            if arrived.values(name) != sent {
                return Err(format!("the pod gets {name}: {:?}", arrived.values(name)));
            }
        }
        let each = self.expected.each_try();
        let told = arrived.values("x-envoy-expected-rq-timeout-ms").concat();
        let told = told.parse().ok().map(Duration::from_millis);
        // Some of it may have passed.
        let good = match (each, told) {
            (Some(each), Some(told)) => told <= each && told > each / 2,
            (each, told) => each == told,
        };
        good.then_some(())
            .ok_or_else(|| format!("the pod is told to take at most {told:?}"))
    }

    /// What the client got of the operations on responses.
    fn answered(&self, own: &[Operation], response: &Response) -> Result<(), String> {
        if matches!(self.expected.end, End::Answer(..)) {
            let mut operations = self.expected.operations.iter().filter(|one| !one.on_request);
            return operations.try_for_each(|one| {
                let mut values = Vec::new();
                one.apply(&mut values);
                match response.values(&one.name) == values {
                    true => Ok(()),
                    false => Err(format!("has {}: {:?}", one.name, response.values(&one.name))),
                }
            });
        }
        let operations = own.iter().chain(&self.expected.operations);
        self.compare(false, operations, |name| response.values(name))
    }

    fn compare<'b>(
        &self,
        on_request: bool,
        operations: impl Iterator<Item = &'b Operation>,
        found: impl Fn(&str) -> Vec<&'b str>,
    ) -> Result<(), String> {
        let worked_on = self
            .worked_on()
            .into_iter()
            .filter(|(side, _)| *side == on_request);
        let mut values: BTreeMap<_, _> = worked_on
            .map(|(_, name)| (name, vec![BEFORE.to_owned()]))
            .collect();
        for operation in operations.filter(|one| one.on_request == on_request) {
            if let Some(values) = values.get_mut(operation.name.as_str()) {
                operation.apply(values);
            }
        }
        for (name, values) in values {
            if found(name) != values {
                return Err(format!("{name} becomes {:?} and not {values:?}", found(name)));
            }
        }
        Ok(())
    }

    fn on_wire(&self, found: &str, what: &str) -> Result<(), String> {
        match self.on_wire {
            Some(expected) if expected == found => Ok(()),
            Some(_) => Err(format!("{what} is {found}")),
            None => Err(format!("{what} is {found}, which the row should say after =>")),
        }
    }
}

fn names(arrived: &[Arrived]) -> Vec<&str> {
    arrived.iter().map(|arrived| arrived.pod.as_str()).collect()
}
