//! The tables on loopback: for each case a control plane, proxies that are told by it, and pods that say what reached them. What
//! the rows say is what has to be seen.
//!
//! # Layout
//! `pods` (what stands behind the services) -> `town` (a case's control plane and proxies) -> `expected` (a row's outcome, taken
//! apart) -> `row` (requests until all of it was seen) -> `judge` (one answer) -> `experiments` (what a request of its own kind
//! shows). `client` and `tokens` are what all of them speak with.

mod client;
mod expected;
mod experiments;
mod judge;
mod pods;
mod row;
mod tokens;
mod town;

use std::collections::BTreeMap;

use futures::future::join_all;
use futures::{StreamExt, stream};

use super::case::Case;
use pods::Pods;
use tokens::Trust;
use town::Town;

/// Cases that run at a time.
const TOGETHER: usize = 4;

/// Why a part of a row is not looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unseen {
    /// It happens to so few requests that too many would be needed.
    Rare,
    /// It takes longer than a second.
    Long,
    /// Only pods that cannot be reached would show it; those here can.
    Unreachable,
    /// The time between tries is left to chance.
    Backoff,
}

/// Every row of a table; `unseen` is what of it is not looked for, and how often.
pub(super) async fn table(name: &str, unseen: &[(Unseen, usize)]) {
    let cluster = super::text("cluster.yaml");
    let (pods, trust) = (Pods::start(&cluster).await, Trust::new());
    let cases = Case::all(&super::text(name));
    let seen = stream::iter(&cases).map(|case| case_on_loopback(case, &cluster, &pods, &trust));
    let seen: Vec<_> = seen.buffered(TOGETHER).collect().await;
    let mut counted = BTreeMap::new();
    let mut differences = String::new();
    for (case, rows) in cases.iter().zip(seen) {
        for (row, seen) in case.rows.iter().zip(rows) {
            for why in seen.unseen {
                *counted.entry(why).or_insert(0) += 1;
            }
            for difference in seen.differences {
                let (title, asked, expected) = (&case.title, &row.asked, &row.expected);
                differences += &format!("\n{name}, {title}\n  {asked} -> {expected}\n    {difference}\n");
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
    assert_eq!(
        counted,
        unseen.iter().copied().collect(),
        "{name}: not looked for"
    );
}

async fn case_on_loopback(case: &Case, cluster: &str, pods: &Pods, trust: &Trust) -> Vec<row::Seen> {
    let town = Town::start(case, cluster, pods, trust).await;
    let rows = case.rows.iter().enumerate();
    let seen = join_all(rows.map(|(index, row)| row::look(&town, index, row))).await;
    town.end().await;
    seen
}
