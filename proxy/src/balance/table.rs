//! Consistent hashing: which endpoint a key is for, such that most keys stay when endpoints come and go. A ring of
//! points, or Maglev's table. Belongs to `choice`.

use std::net::SocketAddr;

use super::hash::hash;
use crate::protocol::mesh::consistent_hash::Table as Published;

/// Envoy's defaults, which are Istio's.
const RING_SIZE: u64 = 1024;
const MAGLEV_SIZE: u64 = 65_537;
/// What a table may have at most, in entries.
const LARGEST: u64 = 1 << 23;

/// Made of the endpoints' addresses alone, so that every proxy has the same.
#[derive(Debug)]
pub(super) enum Table {
    /// Points in their order; a key belongs to the first from it on.
    Ring(Vec<(u64, usize)>),
    Maglev(Vec<usize>),
}

impl Table {
    /// For endpoints with weights of at least 1; `None` if there are none.
    pub(super) fn new(kind: Option<&Published>, endpoints: &[(SocketAddr, u32)]) -> Option<Self> {
        if endpoints.is_empty() {
            return None;
        }
        Some(match kind {
            Some(Published::MaglevSize(size)) => Self::Maglev(maglev(endpoints, *size)),
            Some(Published::RingSize(size)) => Self::Ring(ring(endpoints, *size, LARGEST)),
            None => Self::Ring(ring(endpoints, 0, LARGEST)),
        })
    }

    /// The endpoint of a key, or the next that is usable.
    pub(super) fn find(&self, key: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match self {
            Self::Ring(points) => {
                let start = points.partition_point(|(point, _)| *point < key);
                let (before, after) = points.split_at(start);
                let mut from = after.iter().chain(before);
                from.find(|(_, at)| usable(*at)).map(|(_, at)| *at)
            }
            Self::Maglev(table) => {
                let start = usize::try_from(key % table.len() as u64).unwrap_or_default();
                let (before, after) = table.split_at(start);
                let mut from = after.iter().chain(before);
                from.find(|at| usable(**at)).copied()
            }
        }
    }
}

/// Each endpoint has as many points as its weight is worth. Their number is a power of two, so that it stays what it is
/// when an endpoint goes: points that come would take keys from endpoints that stay.
fn ring(endpoints: &[(SocketAddr, u32)], size: u64, largest: u64) -> Vec<(u64, usize)> {
    let size = if size == 0 { RING_SIZE } else { size.min(largest) };
    let count = endpoints.len() as u64;
    let weights = || endpoints.iter().map(|(_, weight)| u64::from(*weight));
    let (least, total) = (weights().min().unwrap_or(1).max(1), weights().sum::<u64>().max(1));
    let each = size.div_ceil(count).next_power_of_two();
    // Very different weights must not make the ring larger than it may be.
    let (each, per) = match each * total / least > largest {
        true => (largest, total),
        false => (each, least),
    };
    let mut points = Vec::new();
    for (at, (address, weight)) in endpoints.iter().enumerate() {
        let name = address.to_string();
        let number = (each * u64::from(*weight) / per).max(1);
        points.extend((0..number).map(|index| (hash(name.as_bytes(), index + 1), at)));
    }
    points.sort_unstable();
    points
}

/// "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4: each endpoint in turn takes the next free
/// entry of its own permutation; one of less weight has its turn less often.
fn maglev(endpoints: &[(SocketAddr, u32)], size: u64) -> Vec<usize> {
    const FREE: usize = usize::MAX;
    let size = prime(if size == 0 { MAGLEV_SIZE } else { size.min(LARGEST) });
    let entries = usize::try_from(size).unwrap_or_default();
    let most = endpoints.iter().map(|(_, weight)| u64::from(*weight)).max();
    let most = most.unwrap_or(1).max(1);
    struct Turn {
        next: u64,
        skip: u64,
        weight: u64,
        due: u64,
    }
    let mut turns: Vec<_> = endpoints
        .iter()
        .map(|(address, weight)| {
            let name = address.to_string();
            Turn {
                next: hash(name.as_bytes(), 1) % size,
                skip: hash(name.as_bytes(), 2) % (size - 1) + 1,
                weight: u64::from(*weight).max(1),
                due: 0,
            }
        })
        .collect();
    let mut table = vec![FREE; entries];
    let mut left = entries;
    for round in 1u64.. {
        for (at, turn) in turns.iter_mut().enumerate() {
            if round * turn.weight < turn.due {
                continue;
            }
            turn.due += most;
            // The size is prime, so that the permutation has every entry, and there is a free one.
            loop {
                let entry = usize::try_from(turn.next).unwrap_or_default();
                turn.next = (turn.next + turn.skip) % size;
                if table[entry] == FREE {
                    table[entry] = at;
                    break;
                }
            }
            left -= 1;
            if left == 0 {
                return table;
            }
        }
    }
    table
}

/// The least prime that is not less than `least`, and not less than 3.
fn prime(least: u64) -> u64 {
    let is_prime = |number: u64| {
        number == 2
            || !number.is_multiple_of(2)
                && (3..)
                    .step_by(2)
                    .take_while(|d| d * d <= number)
                    .all(|d| !number.is_multiple_of(d))
    };
    (least.max(3)..).find(|number| is_prime(*number)).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 20_000;

    fn endpoints(weights: &[u32]) -> Vec<(SocketAddr, u32)> {
        (1..)
            .zip(weights)
            .map(|(last, weight)| (SocketAddr::from(([10, 1, 0, last], 8080)), *weight))
            .collect()
    }

    /// The endpoints of many keys.
    fn spread(kind: &Published, endpoints: &[(SocketAddr, u32)]) -> Vec<SocketAddr> {
        let table = Table::new(Some(kind), endpoints).unwrap();
        (0..KEYS)
            .map(|key| endpoints[table.find(hash(&key.to_le_bytes(), 0), |_| true).unwrap()].0)
            .collect()
    }

    fn share(seen: &[SocketAddr], of: SocketAddr) -> f64 {
        seen.iter().filter(|address| **address == of).count() as f64 / seen.len() as f64
    }

    #[test]
    fn when_one_of_ten_goes_only_its_keys_move() {
        let all = endpoints(&[1; 10]);
        for (kind, more) in [
            (Published::RingSize(1024), 0.0),
            (Published::MaglevSize(65_537), 0.03),
        ] {
            let before = spread(&kind, &all);
            let mut left = all.clone();
            let gone = left.remove(3).0;
            let after = spread(&kind, &left);
            let others = before.iter().zip(&after).filter(|(before, _)| **before != gone);
            let moved = others.filter(|(before, after)| before != after).count() as f64 / KEYS as f64;
            assert!(
                moved <= more,
                "{kind:?}: {moved} of the keys of endpoints that stay have moved"
            );
            assert_eq!(share(&after, gone), 0.0);
        }
    }

    #[test]
    fn keys_are_spread_by_weight() {
        for (kind, tolerance) in [
            (Published::RingSize(8192), 0.05),
            (Published::MaglevSize(65_537), 0.02),
        ] {
            let all = endpoints(&[1, 1, 2]);
            let seen = spread(&kind, &all);
            for ((address, _), expected) in all.iter().zip([0.25, 0.25, 0.5]) {
                let share = share(&seen, *address);
                assert!(
                    (share - expected).abs() < tolerance,
                    "{kind:?} {address}: {share}"
                );
            }
        }
    }

    #[test]
    fn one_that_cannot_be_used_is_passed_over() {
        let all = endpoints(&[1; 3]);
        for kind in [Published::RingSize(64), Published::MaglevSize(7)] {
            let table = Table::new(Some(&kind), &all).unwrap();
            let first = table.find(42, |_| true).unwrap();
            let second = table.find(42, |at| at != first).unwrap();
            assert_ne!(first, second);
            assert_eq!(
                table.find(42, |at| at != first && at != second).unwrap() + first + second,
                3
            );
            assert_eq!(table.find(42, |_| false), None);
        }
    }

    #[test]
    fn sizes() {
        for (least, expected) in [(0, 3), (4, 5), (65_537, 65_537), (1000, 1009)] {
            assert_eq!(prime(least), expected);
        }
        let points = |weights: &[u32], size| ring(&endpoints(weights), size, 1 << 16).len();
        assert_eq!(points(&[1], 0), 1024);
        assert_eq!(points(&[1; 10], 1024), 1280);
        assert!(points(&[1, u32::MAX], 1024) <= (1 << 16) + 2);
        assert!(Table::new(None, &[]).is_none());
    }
}
