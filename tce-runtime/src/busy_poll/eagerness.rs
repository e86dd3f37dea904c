//! When to look for messages, and when to sleep; by times alone.

use std::time::{Duration, Instant};

/// Polling pays where nearly every wait is short: one that is polled through in
/// vain costs several times what a short one saves. So waits have points.
const LONG: u32 = 4;
const IN_VAIN: u32 = 8;
const WORTH_IT: u32 = 8;
const MOST: u32 = 16;

/// Who has the core for so many times the longest wait has more to do than to
/// answer us.
const TURN: u32 = 10;
/// For so long nobody looks on a core that somebody else has work for: who
/// yields there gets it back only when the other's time is up.
const REST: Duration = Duration::from_millis(100);

/// What a thread does that has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It looks whether something has come.
    Look,
    /// The same, after others could have the core.
    Yield,
    Sleep,
}

/// What is known of how soon messages come.
pub(super) struct PollLimit {
    longest: Duration,
    /// Since when there is nothing to do.
    waits_since: Option<Instant>,
    has_polled: bool,
    is_awake: bool,
    /// A point for each short wait of late, less those that long ones cost.
    score: u32,
    rests_until: Option<Instant>,
}

impl PollLimit {
    pub(super) const fn new() -> Self {
        Self {
            longest: Duration::ZERO,
            waits_since: None,
            has_polled: false,
            is_awake: false,
            score: 0,
            rests_until: None,
        }
    }

    /// Polls for as long as that, where it did not for longer.
    pub(super) fn extend(&mut self, longest: Duration) {
        self.longest = self.longest.max(longest);
    }

    /// Something has come. Says whether [`PollLimit::next`] is to be asked once
    /// what came is done with.
    pub(super) fn came(&mut self, now: Instant) -> bool {
        if let Some(since) = self.waits_since.take() {
            self.learn(now.duration_since(since));
        }
        !std::mem::replace(&mut self.is_awake, true)
    }

    fn learn(&mut self, wait: Duration) {
        let cost = match self.has_polled {
            true if wait < self.longest => 0,
            true => IN_VAIN,
            // To be woken took its time: without a sleep it would have been shorter.
            false if wait < 2 * self.longest => 0,
            false => LONG,
        };
        self.score = match cost {
            0 => MOST.min(self.score + 1),
            cost => self.score.saturating_sub(cost),
        };
    }

    /// There is nothing to do.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let is_resting = self.rests_until.is_some_and(|end| now < end);
        let Some(since) = self.waits_since else {
            self.waits_since = Some(now);
            self.has_polled = false;
            return match self.score >= WORTH_IT && !is_resting {
                true => Next::Look,
                false => self.sleep(),
            };
        };
        if is_resting || now.duration_since(since) >= self.longest {
            return self.sleep();
        }
        self.has_polled = true;
        Next::Yield
    }

    fn sleep(&mut self) -> Next {
        self.is_awake = false;
        Next::Sleep
    }

    /// Others could have the core from `began` until now.
    pub(super) fn yielded(&mut self, began: Instant, now: Instant) {
        if now.duration_since(began) > TURN * self.longest {
            self.rests_until = Some(now + REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times in microseconds from a beginning, and at most 50 to be polled.
    struct Clock(Instant, PollLimit);

    impl Clock {
        fn new() -> Self {
            let mut eagerness = PollLimit::new();
            eagerness.extend(Duration::from_micros(50));
            Self(Instant::now(), eagerness)
        }

        /// After so many waits of 90 µs; says when the last one ended.
        fn after(waits: u64) -> (Self, u64) {
            let mut clock = Self::new();
            for nth in 0..waits {
                clock.message(100 * nth);
            }
            clock.came(100 * waits);
            (clock, 100 * waits)
        }

        fn at(&self, micros: u64) -> Instant {
            self.0 + Duration::from_micros(micros)
        }

        fn came(&mut self, micros: u64) -> bool {
            let at = self.at(micros);
            self.1.came(at)
        }

        fn next(&mut self, micros: u64) -> Next {
            let at = self.at(micros);
            self.1.next(at)
        }

        /// A message that 10 µs are worked on; says what is done then.
        fn message(&mut self, micros: u64) -> Next {
            self.came(micros);
            self.next(micros + 10)
        }
    }

    #[test]
    fn after_short_waits_it_polls_until_the_longest_time_has_passed() {
        let (mut clock, at) = Clock::after(8);
        // What came was worked on: the wait begins now.
        assert_eq!(clock.next(at + 200), Next::Look);
        assert_eq!(clock.next(at + 249), Next::Yield);
        // What comes begins the time anew.
        assert!(!clock.came(at + 249));
        assert_eq!(clock.next(at + 250), Next::Look);
        assert_eq!(clock.next(at + 299), Next::Yield);
        assert_eq!(clock.next(at + 300), Next::Sleep);
    }

    #[test]
    fn before_it_has_learnt_that_waits_are_short_it_sleeps() {
        let (mut clock, at) = Clock::after(7);
        assert_eq!(clock.next(at + 10), Next::Sleep);
    }

    #[test]
    fn a_wait_that_was_polled_in_vain_must_be_made_good() {
        let (mut clock, mut at) = Clock::after(8);
        clock.next(at + 10);
        assert_eq!(clock.next(at + 20), Next::Yield);
        assert_eq!(clock.next(at + 60), Next::Sleep);
        // Polled and slept together are the wait.
        at += 90;
        for nth in 0..8 {
            assert_eq!(clock.message(at + 50 * nth), Next::Sleep);
        }
        assert_eq!(clock.message(at + 400), Next::Look);
    }

    #[test]
    fn what_comes_at_once_is_one_wait() {
        let mut clock = Clock::new();
        for nth in 1..100 {
            for more in 0..20 {
                clock.came(1000 * nth + more);
            }
            assert_eq!(clock.next(1000 * nth + 30), Next::Sleep);
        }
    }

    #[test]
    fn where_short_and_long_waits_take_turns_it_never_polls() {
        let mut clock = Clock::new();
        for nth in 1..100 {
            assert_eq!(clock.message(1000 * nth), Next::Sleep);
            assert_eq!(clock.message(1000 * nth + 50), Next::Sleep);
        }
    }

    #[test]
    fn a_long_wait_among_many_short_ones_changes_nothing() {
        let (mut clock, at) = Clock::after(16);
        assert_eq!(clock.next(at + 10), Next::Look);
        assert_eq!(clock.next(at + 20), Next::Yield);
        assert_eq!(clock.next(at + 60), Next::Sleep);
        assert_eq!(clock.message(at + 5000), Next::Look);
    }

    #[test]
    fn it_rests_where_somebody_else_needs_the_core() {
        let (mut clock, at) = Clock::after(16);
        let (began, now) = (clock.at(at), clock.at(at + 3000));
        clock.1.yielded(began, now);
        assert_eq!(clock.next(at + 3000), Next::Sleep);
        assert_eq!(clock.message(at + 3050), Next::Sleep);
        assert_eq!(clock.message(at + 102_989), Next::Sleep);
        assert_eq!(clock.message(at + 102_990), Next::Look);
    }
}
