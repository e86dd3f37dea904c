//! Whether the gateway still does anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Recorder, Source};
use crate::ticks::Ticks;

const BEAT: Duration = Duration::from_secs(1);
/// A gateway without a beat for so long is stuck: not even a busy machine keeps
/// it waiting for ten beats.
const STUCK: Duration = Duration::from_secs(10);
/// Beats between two times that the recorder is tidied.
const TIDY_EVERY: u32 = 5;

/// When the gateway last showed that it is not stuck.
#[derive(Debug)]
pub(super) struct Pulse {
    began: Instant,
    last_beat_ms: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
        }
    }

    /// Beats until it is dropped. Each beat takes the locks that serving a
    /// client takes: where those never come free, nor does the beat.
    pub(super) async fn beat(self: Arc<Self>, source: Arc<dyn Source>, recorder: Option<Recorder>) {
        let mut ticks = Ticks::every(BEAT);
        let mut beats = 0_u32;
        loop {
            ticks.tick().await;
            source.readiness();
            self.mark(self.began.elapsed());
            beats = beats.wrapping_add(1);
            if let Some(recorder) = recorder
                .as_ref()
                .filter(|_| beats.is_multiple_of(TIDY_EVERY))
            {
                recorder.run_upkeep();
            }
        }
    }

    fn mark(&self, at: Duration) {
        let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.last_beat_ms.store(at, Ordering::Relaxed);
    }

    /// How long it has not beaten, where that is too long.
    pub(super) fn stuck_for(&self) -> Option<Duration> {
        self.stuck_at(self.began.elapsed())
    }

    fn stuck_at(&self, now: Duration) -> Option<Duration> {
        let last = Duration::from_millis(self.last_beat_ms.load(Ordering::Relaxed));
        let silence = now.saturating_sub(last);
        (silence > STUCK).then_some(silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_stuck_when_it_has_not_beaten_for_too_long() {
        let pulse = Pulse::new();
        pulse.mark(Duration::from_secs(100));
        assert_eq!(pulse.stuck_at(Duration::from_secs(110)), None);
        let silence = Duration::from_secs(11);
        assert_eq!(pulse.stuck_at(Duration::from_secs(111)), Some(silence));
        pulse.mark(Duration::from_secs(111));
        assert_eq!(pulse.stuck_at(Duration::from_secs(111)), None);
    }
}
