//! How fast a client may send.

use std::time::{Duration, Instant};

/// A client may be ahead of its pace by this much: bursts are normal.
const BURST: Duration = Duration::from_secs(1);

/// Counts frames against a rate, by the time at which the next one would be due.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time that a frame takes; nothing where there is no limit.
    every: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// So many frames a second; nothing for any number.
    pub(crate) fn new(frames_per_second: Option<usize>) -> Self {
        let frames = frames_per_second.map(|frames| u32::try_from(frames).unwrap_or(u32::MAX));
        Self {
            every: frames.and_then(|frames| Duration::from_secs(1).checked_div(frames)),
            next: Instant::now(),
        }
    }

    /// Counts a frame; whether the client has to wait now.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        let Some(every) = self.every else {
            return false;
        };
        self.next = self.next.max(now) + every;
        self.next.saturating_duration_since(now) > BURST
    }

    /// When it need not wait any more.
    pub(crate) fn free_at(&self) -> Instant {
        self.next.checked_sub(BURST).unwrap_or(self.next)
    }
}
