//! How many messages and bytes the gateway reads from a client in a second.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use crate::config::Properties;

/// How far a client may be ahead of its rate.
const BURST: Duration = Duration::from_secs(1);
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What may be read from a client in a time.
#[derive(Debug)]
pub(super) struct ReadRates {
    frames: RateLimiter,
    bytes: RateLimiter,
}

impl ReadRates {
    /// `None` without a limit.
    pub(super) fn new(properties: &Properties) -> Option<Self> {
        let (frames, bytes) = (
            properties.max_frames_per_second,
            properties.max_bytes_per_second,
        );
        (frames.is_some() || bytes.is_some()).then(|| Self {
            frames: RateLimiter::new(frames),
            bytes: RateLimiter::new(bytes),
        })
    }

    /// Counts a message. Returns whether a limit is exceeded.
    pub(super) fn count(&mut self, bytes: usize, now: Instant) -> bool {
        let is_exceeded = self.frames.count(1, now);
        self.bytes.count(bytes, now) || is_exceeded
    }

    /// When no limit is exceeded any more.
    pub(super) fn free_at(&self) -> Instant {
        self.frames.free_at().max(self.bytes.free_at())
    }
}

/// Limits a rate, by the time at which the next unit is due.
#[derive(Debug)]
struct RateLimiter {
    /// Units per second; `None` without a limit.
    limit: Option<NonZeroU64>,
    next: Instant,
}

impl RateLimiter {
    fn new(per_second: Option<usize>) -> Self {
        Self {
            limit: per_second.and_then(|limit| NonZeroU64::new(limit as u64)),
            next: Instant::now(),
        }
    }

    /// Counts units. Returns whether the limit is exceeded.
    fn count(&mut self, units: usize, now: Instant) -> bool {
        let Some(limit) = self.limit else {
            return false;
        };
        let nanos = (units as u64).saturating_mul(NANOS_PER_SECOND) / limit;
        self.next = self.next.max(now) + Duration::from_nanos(nanos);
        self.next.saturating_duration_since(now) > BURST
    }

    /// When the limit is no longer exceeded.
    fn free_at(&self) -> Instant {
        self.next.checked_sub(BURST).unwrap_or(self.next)
    }
}
