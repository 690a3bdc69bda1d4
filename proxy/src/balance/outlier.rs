//! Which endpoints are ejected for their failures, and when they come back: Istio's outlierDetection. What came of
//! requests in, ejections out; the clock is the caller's.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelValue;
use tokio::time::Instant;

use crate::protocol::mesh;

/// Envoy's max_ejection_time, which Istio has no field for.
const LONGEST: Duration = Duration::from_secs(300);

/// What came of a request or of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The head of a response has come, for gRPC with the status that stands for its code.
    Answered(StatusCode),
    /// A connection could be made, which is all that is known of opaque bytes.
    Connected,
    /// No connection could be made.
    ConnectFailed,
    /// The connection broke before a response.
    Reset,
    /// There was no response in the time that the route gives each try.
    TimedOut,
}

/// Why an endpoint was ejected, by the name of Istio's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Reason {
    Consecutive5xxErrors,
    ConsecutiveGatewayErrors,
    ConsecutiveLocalOriginFailures,
}

/// Watches over the endpoints of one cluster.
#[derive(Debug)]
pub(super) struct Detector {
    settings: mesh::OutlierDetection,
    /// All of the cluster's, and those that are ejected.
    total: AtomicUsize,
    ejected: Mutex<usize>,
}

/// How one endpoint has done.
#[derive(Debug, Default)]
pub(super) struct Record {
    errors: AtomicU32,
    gateway_errors: AtomicU32,
    local_failures: AtomicU32,
    out: AtomicBool,
    ejection: Mutex<Ejection>,
}

#[derive(Debug, Default)]
struct Ejection {
    until: Option<Instant>,
    /// The next is this many times longer than the first, and one more.
    times: u32,
    /// When the last one ended.
    ended: Option<Instant>,
}

impl Detector {
    pub(super) fn new(settings: mesh::OutlierDetection) -> Self {
        Self {
            settings,
            total: AtomicUsize::new(0),
            ejected: Mutex::new(0),
        }
    }

    /// Takes in what came of a request; gives the reason if the endpoint is ejected for it, now.
    pub(super) fn observe(&self, record: &Record, outcome: Outcome, now: Instant) -> Option<Reason> {
        let reason = self.count(record, outcome)?;
        self.eject(record, now).then_some(reason)
    }

    fn count(&self, record: &Record, outcome: Outcome) -> Option<Reason> {
        let split = self.settings.split_local_origin_errors;
        let status = match outcome {
            Outcome::Answered(status) => {
                reset(&record.local_failures);
                status
            }
            Outcome::Connected if split => {
                reset(&record.local_failures);
                return None;
            }
            Outcome::Connected => StatusCode::OK,
            Outcome::ConnectFailed | Outcome::Reset | Outcome::TimedOut if split => {
                let most = self.settings.consecutive_local_origin_failures;
                return hit(&record.local_failures, most).then_some(Reason::ConsecutiveLocalOriginFailures);
            }
            // As what a proxy would answer in their place.
            Outcome::ConnectFailed | Outcome::Reset => StatusCode::SERVICE_UNAVAILABLE,
            Outcome::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        };
        if !status.is_server_error() {
            reset(&record.errors);
            reset(&record.gateway_errors);
            return None;
        }
        let gateway = match status.as_u16() {
            502..=504 => hit(&record.gateway_errors, self.settings.consecutive_gateway_errors),
            _ => {
                reset(&record.gateway_errors);
                false
            }
        };
        if hit(&record.errors, self.settings.consecutive_5xx) {
            Some(Reason::Consecutive5xxErrors)
        } else {
            gateway.then_some(Reason::ConsecutiveGatewayErrors)
        }
    }

    /// Unless it is out already, or too many are: one always may be, as long as any may.
    fn eject(&self, record: &Record, now: Instant) -> bool {
        let mut ejected = lock(&self.ejected);
        let percent = usize::try_from(self.settings.max_ejection_percent).unwrap_or(100);
        let total = self.total.load(Ordering::Relaxed);
        let allowed = percent > 0 && (*ejected == 0 || (*ejected + 1) * 100 <= percent * total);
        if !allowed || record.out.swap(true, Ordering::Relaxed) {
            return false;
        }
        *ejected += 1;
        let mut ejection = lock(&record.ejection);
        let interval = Duration::from_millis(self.settings.interval_ms.max(1).into());
        // Every interval without an ejection makes the next one shorter again.
        let quiet = ejection.ended.map_or(0, |ended| {
            now.duration_since(ended).as_millis() / interval.as_millis()
        });
        let times = ejection
            .times
            .saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX));
        ejection.times = times.saturating_add(1);
        let base = Duration::from_millis(self.settings.base_ejection_ms.into());
        ejection.until = Some(now + base.saturating_mul(ejection.times).min(LONGEST.max(base)));
        true
    }

    /// Lets those come back whose time is over; gives when the next may.
    pub(super) fn recover<'a>(
        &self,
        records: impl ExactSizeIterator<Item = &'a Record>,
        now: Instant,
    ) -> Option<Instant> {
        let mut ejected = lock(&self.ejected);
        self.total.store(records.len(), Ordering::Relaxed);
        *ejected = 0;
        let mut next = None;
        for record in records {
            let mut ejection = lock(&record.ejection);
            match ejection.until {
                Some(until) if until <= now => {
                    ejection.until = None;
                    ejection.ended = Some(until);
                    record.out.store(false, Ordering::Relaxed);
                }
                Some(until) => {
                    *ejected += 1;
                    next = Some(next.map_or(until, |next: Instant| next.min(until)));
                }
                None => {}
            }
        }
        next
    }

    /// Whether so few are left that all are used.
    pub(super) fn gives_up(&self, healthy: usize, total: usize) -> bool {
        let least = usize::try_from(self.settings.min_health_percent).unwrap_or(100);
        healthy * 100 < least * total
    }
}

impl Record {
    /// Whether it is ejected.
    pub(super) fn is_out(&self) -> bool {
        self.out.load(Ordering::Relaxed)
    }
}

fn reset(counter: &AtomicU32) {
    // Most requests succeed after another that did: reading is cheaper than writing.
    if counter.load(Ordering::Relaxed) > 0 {
        counter.store(0, Ordering::Relaxed);
    }
}

/// One more; whether that is as many as it takes, from where it begins anew.
fn hit(counter: &AtomicU32, most: u32) -> bool {
    let hit = most > 0 && counter.fetch_add(1, Ordering::Relaxed) + 1 >= most;
    if hit {
        counter.store(0, Ordering::Relaxed);
    }
    hit
}

/// Nothing panics while it is held.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
