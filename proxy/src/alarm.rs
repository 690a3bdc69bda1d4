//! Times by which requests have to be answered, which next to none of them reaches. To set and to remove a timer for each
//! would cost a tenth of what a request does. So a thread keeps those that have been set, and lends them: one that goes
//! off too early for the request that has it is moved, and that happens once in the length of a timeout.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::time::{Instant, Sleep, sleep_until};

/// How many a thread keeps.
const KEPT: usize = 1024;

thread_local! {
    static SET: RefCell<Vec<Timer>> = const { RefCell::new(Vec::new()) };
}

/// A timer that is set, and the runtime whose clock it goes by.
type Timer = (runtime::Id, Pin<Box<Sleep>>);

/// Ends at a time.
#[derive(Debug)]
pub(crate) struct Alarm {
    at: Instant,
    timer: Option<Timer>,
}

impl Alarm {
    /// Ends so long from now.
    pub(crate) fn after(limit: Duration) -> Self {
        let now = Instant::now();
        // More than some decades from now is not a time; never comes as close as nobody will see.
        let at = now
            .checked_add(limit)
            .unwrap_or(now + Duration::from_secs(1 << 30));
        Self { at, timer: None }
    }

    /// One that goes off at its time, or earlier.
    fn timer(at: Instant) -> Timer {
        let here = Handle::current().id();
        let kept = SET.with_borrow_mut(|set| {
            let place = set.iter().rposition(|(runtime, _)| *runtime == here)?;
            Some(set.swap_remove(place))
        });
        match kept {
            Some((_, timer)) if timer.deadline() <= at => (here, timer),
            Some((_, mut timer)) => {
                timer.as_mut().reset(at);
                (here, timer)
            }
            None => (here, Box::pin(sleep_until(at))),
        }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let (_, timer) = self.timer.get_or_insert_with(|| Self::timer(at));
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= at || Instant::now() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(timer) = self.timer.take().filter(|(_, timer)| !timer.is_elapsed()) else {
            return;
        };
        // At the end of a thread there is nothing to keep it in.
        let _ = SET.try_with(|set| {
            if let Ok(mut set) = set.try_borrow_mut()
                && set.len() < KEPT
            {
                set.push(timer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, timeout};

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Whether it has not ended yet; it is dropped.
    async fn pending(mut alarm: Alarm) -> bool {
        timeout(Duration::ZERO, &mut alarm).await.is_err()
    }

    fn kept() -> usize {
        SET.with_borrow(Vec::len)
    }

    #[tokio::test(start_paused = true)]
    async fn each_ends_at_its_time_whoever_had_the_timer_before() {
        assert!(pending(Alarm::after(seconds(15))).await);
        assert_eq!(kept(), 1);
        // Set for later, and for earlier than it is wanted.
        for limit in [2, 15, 1, 30] {
            let begun = Instant::now();
            let alarm = Alarm::after(seconds(limit));
            alarm.await;
            assert_eq!(begun.elapsed(), seconds(limit));
            assert!(pending(Alarm::after(seconds(5))).await);
            advance(seconds(3)).await;
        }
        assert_eq!(kept(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_kept_as_were_wanted_at_once() {
        let mut alarms: Vec<_> = (0..3).map(|_| Alarm::after(seconds(9))).collect();
        for alarm in &mut alarms {
            assert!(timeout(Duration::ZERO, alarm).await.is_err());
        }
        drop(alarms);
        assert_eq!(kept(), 3);
        for _ in 0..4 {
            assert!(pending(Alarm::after(seconds(9))).await);
        }
        assert_eq!(kept(), 3);
    }

    #[test]
    fn one_of_another_runtime_is_left_alone() {
        for _ in 0..2 {
            let runtime = runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                assert!(pending(Alarm::after(seconds(9))).await);
            });
        }
        assert_eq!(kept(), 2);
    }
}
