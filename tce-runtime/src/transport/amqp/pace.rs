//! The pauses between attempts to reach a broker.

use std::{fmt, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Before jitter, which adds up to as much again: an attempt waits for less than its
/// time limit.
const PAUSE_MAX: Duration = Duration::from_millis(1500);
/// How long after an attempt the next one is still paused for: longer than the
/// longest pause.
const LASTING: Duration = Duration::from_secs(6);

/// Spaces attempts. The pauses grow from attempt to attempt, also where attempts
/// succeed and the broker soon ends what was opened; they begin anew once no attempt
/// was needed for [`LASTING`].
#[derive(Default)]
pub(super) struct AttemptPace(Mutex<Option<PaceState>>);

struct PaceState {
    pauses: ExponentialBackoff,
    /// The last attempt.
    last: Instant,
    /// The earliest time of the next one.
    next: Instant,
}

impl AttemptPace {
    /// Waits until the next attempt is due: not at all for the first one. Dropped
    /// before, it counts as none.
    pub(super) async fn pause(&self) {
        while let Err(next) = self.begin() {
            sleep_until(next).await;
        }
    }

    /// Begins an attempt, or returns when the next one is due.
    fn begin(&self) -> Result<(), Instant> {
        let now = Instant::now();
        let mut state = self.0.lock();
        let state = match &mut *state {
            Some(state) if now < state.last + LASTING => state,
            outdated => outdated.insert(PaceState {
                pauses: pauses(),
                last: now,
                next: now,
            }),
        };
        if now < state.next {
            return Err(state.next);
        }
        state.last = now;
        state.next = now + state.pauses.next().unwrap_or(PAUSE_MAX);
        Ok(())
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

impl fmt::Debug for AttemptPace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttemptPace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_an_attempt_has_lasted() {
        let pace = AttemptPace::default();
        let start = Instant::now();
        pace.pause().await;
        assert_eq!(start.elapsed(), Duration::ZERO, "the first is not paused");
        for _ in 0..12 {
            pace.pause().await;
        }
        let twelve = start.elapsed();
        assert!(twelve > Duration::from_secs(10), "{twelve:?}");
        assert!(twelve < Duration::from_secs(60), "{twelve:?}");
        tokio::time::sleep(LASTING).await;
        let start = Instant::now();
        pace.pause().await;
        assert_eq!(start.elapsed(), Duration::ZERO, "it has lasted");
    }
}
