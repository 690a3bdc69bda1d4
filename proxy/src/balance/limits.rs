//! What a DestinationRule's connectionPool allows a cluster at a time. What is over it is refused at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::encoding::EncodeLabelValue;

use crate::protocol::mesh;

/// What is limited, by the name of Istio's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Limit {
    /// `tcp.maxConnections`.
    Connections,
    /// `http.http1MaxPendingRequests`: requests that wait for a connection.
    PendingRequests,
    /// `http.http2MaxRequests`: requests under way, of any version.
    Requests,
    /// `http.maxRetries`: retries under way.
    Retries,
}

/// A limit is reached: HTTP gets 503 with `x-envoy-overloaded`, a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the DestinationRule's {limit} of {most} is reached")]
pub struct Overflow {
    /// Which one.
    pub limit: Limit,
    /// How many are allowed.
    pub most: usize,
}

/// How many of each there are, and may be.
#[derive(Debug, Default)]
pub struct Limits {
    gauges: [Gauge; 4],
    budget: Option<Budget>,
}

/// How many retries there may be for the requests that are under way, in place of a fixed number.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// Of the requests, 1.0 for all of them.
    share: f64,
    least: usize,
}

#[derive(Debug, Default)]
struct Gauge {
    /// 0: any number.
    most: usize,
    now: AtomicUsize,
}

/// One of what is limited, for as long as it lives. What has no limit is not counted.
#[derive(Debug)]
pub struct Permit(Option<(Arc<Limits>, Limit)>);

impl Limits {
    pub(super) fn new(published: &mesh::ConnectionPool) -> Self {
        let gauge = |most: u32| Gauge {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            now: AtomicUsize::new(0),
        };
        let mut gauges = [
            gauge(published.max_connections),
            gauge(published.max_pending_requests),
            gauge(published.max_requests),
            gauge(published.max_retries),
        ];
        let budget = published.retry_budget_percent.map(|percent| Budget {
            share: percent / 100.0,
            least: usize::try_from(published.retry_budget_least).unwrap_or(usize::MAX),
        });
        if budget.is_some() {
            // What the budget is a share of has to be counted.
            let requests = &mut gauges[Limit::Requests as usize].most;
            *requests = if *requests == 0 { usize::MAX } else { *requests };
        }
        Self { gauges, budget }
    }

    /// One more, unless that is too many.
    ///
    /// # Errors
    /// See [`Overflow`].
    pub fn take(self: &Arc<Self>, limit: Limit) -> Result<Permit, Overflow> {
        let gauge = self.gauge(limit);
        let most = match self.budget {
            Some(budget) if limit == Limit::Retries => {
                let requests = self.gauge(Limit::Requests).now.load(Ordering::Relaxed);
                ((requests as f64 * budget.share) as usize).max(budget.least)
            }
            _ if gauge.most == 0 => return Ok(Permit(None)),
            _ => gauge.most,
        };
        let before = gauge.now.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Some((self.clone(), limit)));
        // Dropping the permit takes it back.
        if before >= most {
            Err(Overflow { limit, most })
        } else {
            Ok(permit)
        }
    }

    /// One more, whatever the limit.
    pub(crate) fn force(self: &Arc<Self>, limit: Limit) -> Permit {
        self.gauge(limit).now.fetch_add(1, Ordering::Relaxed);
        Permit(Some((self.clone(), limit)))
    }

    fn gauge(&self, limit: Limit) -> &Gauge {
        &self.gauges[limit as usize]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((limits, limit)) = &self.0 {
            limits.gauge(*limit).now.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connections => "maxConnections",
            Self::PendingRequests => "http1MaxPendingRequests",
            Self::Requests => "http2MaxRequests",
            Self::Retries => "maxRetries",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_until_something_ends() {
        let limits = Arc::new(Limits::new(&mesh::ConnectionPool {
            max_requests: 2,
            ..Default::default()
        }));
        let first = limits.take(Limit::Requests).unwrap();
        let _second = limits.take(Limit::Requests).unwrap();
        let overflow = limits.take(Limit::Requests).unwrap_err();
        assert_eq!(
            overflow.to_string(),
            "the DestinationRule's http2MaxRequests of 2 is reached"
        );
        // Being refused does not count.
        assert!(limits.take(Limit::Requests).is_err());
        drop(first);
        let _third = limits.take(Limit::Requests).unwrap();
        assert!(limits.take(Limit::Requests).is_err());
        // What is not limited is not counted.
        let _many: Vec<_> = (0..100).map(|_| limits.take(Limit::Retries).unwrap()).collect();
    }

    #[test]
    fn a_budget_grows_with_the_requests() {
        let limits = Arc::new(Limits::new(&mesh::ConnectionPool {
            retry_budget_percent: Some(20.0),
            retry_budget_least: 2,
            ..Default::default()
        }));
        let take = |limit, count| -> Vec<_> { (0..count).map_while(|_| limits.take(limit).ok()).collect() };
        assert_eq!(take(Limit::Retries, 10).len(), 2);
        let requests = take(Limit::Requests, 20);
        assert_eq!((requests.len(), take(Limit::Retries, 10).len()), (20, 4));
    }
}
