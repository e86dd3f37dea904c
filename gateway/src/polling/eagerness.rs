//! When to poll, and when to sleep; by times alone.

use std::time::{Duration, Instant};

/// Who has the core for longer than that has more to do than to answer us.
const TURN: Duration = Duration::from_micros(500);
/// For so long nobody polls on a core that somebody else has work for: who
/// yields there gets it back only when the other's time is up.
const REST: Duration = Duration::from_millis(100);

/// What to do with nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Poll,
    Sleep,
}

/// What is known of how soon messages come.
pub(super) struct Eagerness {
    /// The longest that is polled after a message.
    longest: Duration,
    /// When a message came last, or the thread was woken.
    since: Instant,
    /// Whether the last wait was one that polling could have seen the end of.
    was_short: bool,
    rests_until: Option<Instant>,
    is_asleep: bool,
}

impl Eagerness {
    pub(super) fn new(longest: Duration, now: Instant) -> Self {
        Self {
            longest,
            since: now,
            was_short: false,
            rests_until: None,
            is_asleep: false,
        }
    }

    /// There is nothing to do now; `came` says whether there had been a message.
    pub(super) fn next(&mut self, now: Instant, came: bool) -> Next {
        if came {
            self.since = now;
        }
        self.rests_until = self.rests_until.filter(|end| now < *end);
        let is_worth_it = self.was_short && self.rests_until.is_none();
        if is_worth_it && now.duration_since(self.since) < self.longest {
            return Next::Poll;
        }
        self.is_asleep = true;
        Next::Sleep
    }

    /// Others could have the core while it was polled.
    pub(super) fn yielded(&mut self, began: Instant, now: Instant) {
        if now.duration_since(began) > TURN {
            self.rests_until = Some(now + REST);
        }
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.is_asleep
    }

    /// The sleep has ended.
    pub(super) fn woke(&mut self, now: Instant) {
        // To be woken took its time, too: without a sleep the wait would have been shorter.
        self.was_short = now.duration_since(self.since) < 2 * self.longest;
        self.since = now;
        self.is_asleep = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(50);

    /// Times in microseconds from a beginning.
    struct Clock(Instant, Eagerness);

    impl Clock {
        fn new() -> Self {
            let now = Instant::now();
            Self(now, Eagerness::new(LONGEST, now))
        }

        fn at(&self, micros: u64) -> Instant {
            self.0 + Duration::from_micros(micros)
        }

        fn message(&mut self, micros: u64) -> Next {
            let at = self.at(micros);
            self.1.next(at, true)
        }

        fn nothing(&mut self, micros: u64) -> Next {
            let at = self.at(micros);
            self.1.next(at, false)
        }

        fn woke(&mut self, micros: u64) {
            assert!(self.1.is_asleep());
            let at = self.at(micros);
            self.1.woke(at);
            assert!(!self.1.is_asleep());
        }
    }

    #[test]
    fn a_short_sleep_makes_it_poll_until_the_longest_time_has_passed() {
        let mut clock = Clock::new();
        assert_eq!(clock.message(0), Next::Sleep);
        clock.woke(40);
        assert_eq!(clock.message(45), Next::Poll);
        assert_eq!(clock.nothing(94), Next::Poll);
        // Each message begins the time anew.
        assert_eq!(clock.message(94), Next::Poll);
        assert_eq!(clock.nothing(143), Next::Poll);
        assert_eq!(clock.nothing(144), Next::Sleep);
    }

    #[test]
    fn after_a_long_wait_it_sleeps_at_once() {
        let mut clock = Clock::new();
        assert_eq!(clock.message(0), Next::Sleep);
        clock.woke(40);
        assert_eq!(clock.message(45), Next::Poll);
        assert_eq!(clock.nothing(95), Next::Sleep);
        // Polled and slept together are the wait.
        clock.woke(145);
        assert_eq!(clock.message(146), Next::Sleep);
        clock.woke(1146);
        assert_eq!(clock.message(1147), Next::Sleep);
        clock.woke(1190);
        assert_eq!(clock.message(1191), Next::Poll);
    }

    #[test]
    fn it_rests_where_somebody_else_needs_the_core() {
        let mut clock = Clock::new();
        assert_eq!(clock.message(0), Next::Sleep);
        clock.woke(40);
        assert_eq!(clock.message(45), Next::Poll);
        let (began, now) = (clock.at(46), clock.at(3046));
        clock.1.yielded(began, now);
        assert_eq!(clock.message(3047), Next::Sleep);
        clock.woke(3060);
        assert_eq!(clock.message(103_045), Next::Sleep);
        clock.woke(103_046);
        assert_eq!(clock.message(103_047), Next::Poll);
    }
}
