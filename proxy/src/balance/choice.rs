//! What a cluster chooses from until its endpoints change or one is ejected: levels of localities, in them groups, in
//! them endpoints. Before it: `locality` arranges, `outlier` ejects; after it: `Cluster::pick`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::Ask;
use super::endpoint::{Described, Endpoint};
use super::hash::hash;
use super::locality::{Place, arrange};
use super::shared::Shared;
use super::table::Table;
use super::warmup::Warmup;
use crate::protocol::mesh::{self, LoadBalancer};

/// How many new endpoints in a row are passed over at most.
const PASSED_OVER: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Every endpoint that was told, for those who look on.
    pub(super) all: Arc<[Arc<Endpoint>]>,
    levels: Vec<Level>,
    /// Those that are not used as long as the ones before are healthy, in their order: for tries that leave these.
    reserve: Vec<Level>,
    /// When an endpoint that is ejected may come back.
    pub(super) until: Option<Instant>,
}

#[derive(Debug)]
struct Level {
    /// Of all requests, in percent.
    share: u64,
    groups: Vec<Group>,
}

/// Endpoints that are alike but for their weights.
#[derive(Debug)]
struct Group {
    /// Relative to the others of the level.
    share: u64,
    endpoints: Vec<Arc<Endpoint>>,
    /// The sums of the weights up to each endpoint; `None` if all weigh the same.
    sums: Option<Vec<u64>>,
    table: Option<Table>,
}

/// How an endpoint is picked.
#[derive(Debug)]
pub(super) struct How {
    pub(super) balancer: LoadBalancer,
    pub(super) warmup: Option<Warmup>,
    pub(super) hashed: Option<Option<mesh::consistent_hash::Table>>,
}

/// One pick: whose turn it is, any random numbers, and the time.
pub(super) struct Lot<D> {
    pub(super) turn: usize,
    pub(super) draw: D,
    pub(super) now: Instant,
}

impl Choice {
    /// Of these endpoints, told and their own state in the same order.
    pub(super) fn new(
        told: &[Described],
        all: Arc<[Arc<Endpoint>]>,
        policy: &mesh::TrafficPolicy,
        place: &Place,
        shared: &Shared,
        how: &How,
        now: Instant,
    ) -> Self {
        let until = shared.recover(&all, now);
        let arranged = arrange(policy, place, told);
        let members = || arranged.iter().flatten().flat_map(|group| &group.members);
        let healthy = members().filter(|at| !all[**at].is_ejected()).count();
        let everyone = shared.gives_up(healthy, members().count());
        let mut left = 100;
        let levels = arranged.iter().map(|groups| {
            let (mut known, mut usable) = (0, 0);
            let groups: Vec<_> = groups
                .iter()
                .filter_map(|group| {
                    let members: Vec<usize> = group
                        .members
                        .iter()
                        .copied()
                        .filter(|at| everyone || !all[*at].is_ejected())
                        .collect();
                    known += group.members.len();
                    usable += members.len();
                    let share = u64::from(group.weight) * health(members.len(), group.members.len());
                    (!members.is_empty()).then(|| Group::new(share, &members, told, &all, how))
                })
                .collect();
            let share = health(usable, known).min(left);
            left -= share;
            Level { share, groups }
        });
        let (levels, reserve) = levels.partition(|level| level.share > 0);
        Self {
            levels,
            reserve,
            all,
            until,
        }
    }

    /// The endpoint for one try, or `None` if there is none that it may go to.
    pub(super) fn pick<D: FnMut() -> u64>(
        &self,
        how: &How,
        ask: Ask<'_>,
        lot: Lot<D>,
    ) -> Option<&Arc<Endpoint>> {
        let Lot { turn, mut draw, now } = lot;
        let mut seed = 0;
        // A key keeps its level and group as well.
        let mut by_key = |key: u64| {
            seed += 1;
            hash(&key.to_le_bytes(), seed)
        };
        let mut draw = || ask.key.map_or_else(&mut draw, &mut by_key);
        if !ask.leaves.is_empty() {
            let others = self.levels.iter().chain(&self.reserve);
            let mut others = others.filter(|level| !level.has_any(ask.leaves));
            let found = others.find_map(|level| {
                let group = by_share(&level.groups, |group| group.share, &mut draw)?;
                group.pick(how, ask, turn, &mut draw, now)
            });
            if found.is_some() {
                return found;
            }
        }
        let level = by_share(&self.levels, |level| level.share, &mut draw)?;
        let group = by_share(&level.groups, |group| group.share, &mut draw)?;
        group.pick(how, ask, turn, &mut draw, now).or_else(|| {
            let others = self.levels.iter().flat_map(|level| &level.groups);
            others
                .filter(|other| !std::ptr::eq(*other, group))
                .find_map(|other| other.pick(how, ask, turn, &mut draw, now))
        })
    }
}

/// How much of its share a level or a locality takes, in percent: a little more than is healthy, so that the first
/// failures shift nothing (Envoy's overprovisioning factor of 1.4).
fn health(healthy: usize, total: usize) -> u64 {
    match total {
        0 => 0,
        total => ((healthy * 140 / total) as u64).min(100),
    }
}

/// One of `all` by their shares.
fn by_share<'a, T>(all: &'a [T], share: impl Fn(&T) -> u64, draw: &mut dyn FnMut() -> u64) -> Option<&'a T> {
    if all.len() < 2 {
        return all.first();
    }
    let total: u64 = all.iter().map(&share).sum();
    let mut left = draw().checked_rem(total)?;
    all.iter().find(|one| {
        let hit = left < share(one);
        left = left.saturating_sub(share(one));
        hit
    })
}

impl Level {
    fn has_any(&self, addresses: &[SocketAddr]) -> bool {
        let mut endpoints = self.groups.iter().flat_map(|group| &group.endpoints);
        endpoints.any(|endpoint| addresses.contains(&endpoint.address))
    }
}

impl Group {
    fn new(share: u64, members: &[usize], told: &[Described], all: &[Arc<Endpoint>], how: &How) -> Self {
        let weights: Vec<u32> = members.iter().map(|at| told[*at].weight.max(1)).collect();
        let alike = weights.windows(2).all(|pair| pair[0] == pair[1]);
        let sums = weights.iter().scan(0, |sum, weight| {
            *sum += u64::from(*weight);
            Some(*sum)
        });
        let table = how.hashed.as_ref().and_then(|kind| {
            let addresses = members.iter().map(|at| told[*at].address);
            let mut named: Vec<(SocketAddr, u32)> = addresses.zip(weights.iter().copied()).collect();
            if alike {
                named.iter_mut().for_each(|(_, weight)| *weight = 1);
            }
            Table::new(kind.as_ref(), &named)
        });
        Self {
            share,
            sums: (!alike).then(|| sums.collect()),
            endpoints: members.iter().map(|at| all[*at].clone()).collect(),
            table,
        }
    }

    fn pick(
        &self,
        how: &How,
        ask: Ask<'_>,
        turn: usize,
        draw: &mut dyn FnMut() -> u64,
        now: Instant,
    ) -> Option<&Arc<Endpoint>> {
        let usable = |at: usize| !ask.tried.contains(&self.endpoints[at].address);
        if let (Some(key), Some(table)) = (ask.key, &self.table) {
            return table.find(key, usable).map(|at| &self.endpoints[at]);
        }
        if !ask.tried.is_empty() {
            // A second try is rare, and weights matter little to it.
            let left: Vec<&Arc<Endpoint>> = (0..self.endpoints.len())
                .filter(|at| usable(*at))
                .map(|at| &self.endpoints[at])
                .collect();
            return pick(left.len(), how.balancer, turn, draw(), |at| left[at].load()).map(|at| left[at]);
        }
        let mut turn = turn;
        for _ in 0..PASSED_OVER {
            let endpoint = &self.endpoints[self.once(how.balancer, turn, draw())?];
            let Some((warmup, since)) = how.warmup.zip(endpoint.since) else {
                return Some(endpoint);
            };
            let age = now.saturating_duration_since(since);
            if age >= warmup.window || unit(draw()) < warmup.factor(age) {
                return Some(endpoint);
            }
            turn = usize::try_from(draw() >> 1).unwrap_or_default();
        }
        self.once(how.balancer, turn, draw())
            .map(|at| &self.endpoints[at])
    }

    fn once(&self, balancer: LoadBalancer, turn: usize, draw: u64) -> Option<usize> {
        let load = |at: usize| self.endpoints[at].load();
        match &self.sums {
            None => pick(self.endpoints.len(), balancer, turn, draw, load),
            Some(sums) => weighted(sums, balancer, turn, draw, load),
        }
    }
}

/// A random number from 0 up to 1.
fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1u64 << 53) as f64
}

/// Which of `count` endpoints of the same weight: pure, `turn` counts up by one a request and `draw` is any random
/// number.
///
/// Least request compares the one whose turn it is with another drawn at random, and takes the other only if it
/// has less to do: so requests one after another go round, as users of round robin expect, and under load the
/// power of two choices holds.
fn pick(
    count: usize,
    balancer: LoadBalancer,
    turn: usize,
    draw: u64,
    load: impl Fn(usize) -> usize,
) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let next = turn % count;
    let drawn = |among: usize| usize::try_from(draw % among as u64).unwrap_or_default();
    Some(match balancer {
        LoadBalancer::RoundRobin => next,
        LoadBalancer::Random => drawn(count),
        LoadBalancer::LeastRequest if count == 1 => 0,
        LoadBalancer::LeastRequest => {
            let other = (next + 1 + drawn(count - 1)) % count;
            if load(other) < load(next) { other } else { next }
        }
    })
}

/// The same for endpoints whose weights add up to these sums. Turns are steps of the golden ratio around a circle on which
/// each endpoint has an arc as long as its weight: the shares are right soon, and no endpoint has long runs.
fn weighted(
    sums: &[u64],
    balancer: LoadBalancer,
    turn: usize,
    draw: u64,
    load: impl Fn(usize) -> usize,
) -> Option<usize> {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let total = *sums.last()?;
    let at = |circle: u64| {
        let point = u64::try_from((u128::from(circle) * u128::from(total)) >> 64).unwrap_or_default();
        sums.partition_point(|sum| *sum <= point)
    };
    let next = at((turn as u64).wrapping_mul(GOLDEN));
    Some(match balancer {
        LoadBalancer::RoundRobin => next,
        LoadBalancer::Random => at(draw),
        LoadBalancer::LeastRequest => {
            let other = at(draw);
            let weight = |at: usize| sums[at] - at.checked_sub(1).map_or(0, |before| sums[before]);
            // The one that has less to do for its weight, without a division.
            let (one, two) = (
                load(next) as u64 * weight(other),
                load(other) as u64 * weight(next),
            );
            if two < one { other } else { next }
        }
    })
}

#[cfg(test)]
mod tests;
