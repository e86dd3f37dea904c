//! Log lines that peers can cause.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The lines that are logged without delay.
const BURST: u32 = 50;
/// The time per line after that.
const INTERVAL: Duration = Duration::from_millis(100);

/// Limits how often one kind of line is logged: ten times a second, after a burst
/// of 50. Without it a peer decides how much is logged. What the lines report is
/// counted as well, so that nothing goes unnoticed.
///
/// It is a `static` beside the line:
///
/// ```ignore
/// static LIMIT: LogLimit = LogLimit::new();
/// if LIMIT.allows("dropped messages") {
///     tracing::warn!("dropped a message");
/// }
/// ```
#[derive(Debug)]
pub struct LogLimit(Mutex<LimitState>);

#[derive(Debug)]
struct LimitState {
    /// The lines that may be logged now.
    allowed: u32,
    since: Option<Instant>,
    left_out: u64,
}

impl LogLimit {
    /// A limit that nothing has been logged against.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(LimitState {
            allowed: BURST,
            since: None,
            left_out: 0,
        }))
    }

    /// Whether a line about `what` may be logged now. Logs first how many were
    /// left out.
    pub fn allows(&self, what: &str) -> bool {
        let (is_allowed, left_out) = self.0.lock().count(Instant::now());
        if left_out > 0 {
            tracing::warn!(left_out, "left out lines about {what}: too many at once");
        }
        is_allowed
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl LimitState {
    /// Counts a line. Returns whether it is allowed, and how many were left out
    /// before it.
    fn count(&mut self, now: Instant) -> (bool, u64) {
        let since = *self.since.get_or_insert(now);
        let earned = now.saturating_duration_since(since).as_millis() / INTERVAL.as_millis();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.allowed = self.allowed.saturating_add(earned).min(BURST);
            self.since = Some(now);
        }
        if self.allowed == 0 {
            self.left_out += 1;
            return (false, 0);
        }
        self.allowed -= 1;
        (true, std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_a_burst_are_left_out_and_counted() {
        let LogLimit(state) = LogLimit::new();
        let (mut state, start) = (state.into_inner(), Instant::now());
        let logged = (0..1000).filter(|_| state.count(start).0).count();
        assert_eq!(logged, 50);
        let later = start + INTERVAL;
        assert_eq!(state.count(later), (true, 950));
        assert_eq!(state.count(later), (false, 0));
        let much_later = start + Duration::from_secs(3600);
        let logged = (0..1000).filter(|_| state.count(much_later).0).count();
        assert_eq!(logged, 50);
    }
}
