//! Limits of operations within a worker: attempts at once, and attempts in a time.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

/// How long an attempt may hold a slot of its worker before it begins; a longer one is delayed again.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// The longest delay: a worker that starts later finds what is due at its own rate.
const MAX_DELAY: Duration = Duration::from_secs(600);
/// Attempts that could have begun within this time begin at once: delays of RabbitMQ are multiples of
/// 128 ms, and the rate would not be reached otherwise.
const SLACK: Duration = Duration::from_millis(250);

/// How many attempts of an operation begin in a time, evenly spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
}

impl Rate {
    /// At most `count` attempts, and at least one, in each `time`.
    #[must_use]
    pub fn new(count: u32, time: Duration) -> Self {
        Self {
            interval: time / count.max(1),
        }
    }

    /// At most `count` attempts a second.
    #[must_use]
    pub fn per_second(count: u32) -> Self {
        Self::new(count, Duration::from_secs(1))
    }
}

/// When attempts may begin.
#[derive(Debug)]
struct Pacer {
    interval: Duration,
    /// When the next attempt may begin.
    next: Instant,
    /// When the last one that was delayed again is due: they come back one by one.
    planned: Instant,
}

impl Pacer {
    fn new(rate: Rate, now: Instant) -> Self {
        Self {
            interval: rate.interval,
            next: now,
            planned: now,
        }
    }

    /// How long an attempt waits before it begins, or else the delay after which it tries again.
    fn take(&mut self, now: Instant) -> Result<Duration, Duration> {
        let at = now
            .checked_sub(SLACK)
            .map_or(self.next, |now| self.next.max(now));
        let wait = at.saturating_duration_since(now);
        if wait <= MAX_WAIT {
            self.next = at + self.interval;
            return Ok(wait);
        }
        let planned = at.max(self.planned + self.interval);
        self.planned = planned.min(now + MAX_DELAY);
        Err(self.planned.saturating_duration_since(now))
    }
}

/// The limits of one operation.
#[derive(Debug, Default)]
pub(crate) struct OperationLimits {
    at_once: Option<(Arc<Semaphore>, u32)>,
    pacer: Option<Mutex<Pacer>>,
    /// Attempts that wait for others to end.
    waiting: AtomicU32,
    /// How long the last attempt ran, in milliseconds.
    last_ms: AtomicU64,
}

/// An attempt that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Running<'l> {
    limits: &'l OperationLimits,
    began: Instant,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.limits.last_ms.store(ms, Ordering::Relaxed);
    }
}

/// Counts an attempt that waits until it is dropped.
struct Waiting<'l>(&'l AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OperationLimits {
    /// At most as many attempts at once, and at least one.
    pub(crate) fn at_once(&mut self, count: u32) {
        let count = count.max(1);
        let permits = usize::try_from(count).unwrap_or(usize::MAX);
        let semaphore = Semaphore::new(permits.min(Semaphore::MAX_PERMITS));
        self.at_once = Some((Arc::new(semaphore), count));
    }

    pub(crate) fn rate(&mut self, rate: Rate) {
        self.pacer = Some(Mutex::new(Pacer::new(rate, Instant::now())));
    }

    /// Waits at most [`MAX_WAIT`] for each limit; if that is not enough, returns the delay after which
    /// the attempt tries again.
    pub(crate) async fn admit(&self) -> Result<Running<'_>, Duration> {
        let permit = match &self.at_once {
            Some((semaphore, count)) => Some(self.permit(semaphore, *count).await?),
            None => None,
        };
        if let Some(pacer) = &self.pacer {
            let paced = pacer.lock().take(Instant::now());
            sleep(paced?).await;
        }
        Ok(Running {
            limits: self,
            began: Instant::now(),
            _permit: permit,
        })
    }

    /// A permit, or the delay after which one is likely free.
    async fn permit(
        &self,
        semaphore: &Arc<Semaphore>,
        count: u32,
    ) -> Result<OwnedSemaphorePermit, Duration> {
        if let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() {
            return Ok(permit);
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        let _waiting = Waiting(&self.waiting);
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        let expected = last.saturating_mul(ahead) / count;
        let acquired = match expected <= MAX_WAIT {
            true => timeout(MAX_WAIT, Arc::clone(semaphore).acquire_owned())
                .await
                .ok(),
            false => None,
        };
        // Random, so that the tasks do not come back all at once.
        let delay = expected.clamp(MAX_WAIT, MAX_DELAY / 2);
        let delay = delay.mul_f64(1.0 + fastrand::f64());
        acquired.and_then(Result::ok).ok_or(delay)
    }
}

/// The limits of operations, by the name that they have in the group.
pub(crate) type Limits = HashMap<String, OperationLimits>;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn attempts_are_evenly_spaced() {
        let mut limits = OperationLimits::default();
        limits.rate(Rate::per_second(5));
        let start = Instant::now();
        for _ in 0..20 {
            assert!(limits.admit().await.is_ok());
        }
        let took = start.elapsed();
        assert!((SECOND * 3..SECOND * 4).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_would_wait_for_long_is_delayed_one_by_one() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Rate::new(1, SECOND * 2), start);
        assert_eq!(pacer.take(start), Ok(Duration::ZERO));
        let delays: Vec<_> = (0..3).map(|_| pacer.take(start).unwrap_err()).collect();
        assert!(
            delays
                .windows(2)
                .all(|pair| pair[1] - pair[0] == SECOND * 2),
            "{delays:?}"
        );
        // They begin when they come back.
        for delay in delays {
            assert!(pacer.take(start + delay).is_ok());
        }
        let last = (0..1000).map(|_| pacer.take(start).unwrap_err()).max();
        assert_eq!(last, Some(MAX_DELAY));
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_as_many_run_at_once() {
        let mut limits = OperationLimits::default();
        limits.at_once(1);
        let first = limits.admit().await.unwrap();
        let start = Instant::now();
        let delay = limits.admit().await.unwrap_err();
        assert!(start.elapsed() >= MAX_WAIT && delay >= MAX_WAIT);
        sleep(SECOND * 10).await;
        drop(first);
        let _second = limits.admit().await.unwrap();
        // The last one ran for 11 s: another one holds no slot.
        let start = Instant::now();
        assert!(limits.admit().await.unwrap_err() > SECOND * 10);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
