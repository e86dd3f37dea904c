//! When to look for messages, and when to sleep; by times alone.

use std::time::{Duration, Instant};

/// Who has the core for longer than that has more to do than to answer us.
const TURN: Duration = Duration::from_micros(500);
/// For so long nobody looks on a core that somebody else has work for: who
/// yields there gets it back only when the other's time is up.
const REST: Duration = Duration::from_millis(100);

/// Polling pays where nearly every wait is short: one that is polled through in
/// vain costs several times what a short one saves.
const LONG_WAIT: u32 = 4;
const WORTH_IT: u32 = 8;
const MOST: u32 = 16;

/// What a thread does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Something has come since it last looked: there is work.
    Work,
    Poll,
    Sleep,
}

/// What is known of how soon messages come.
pub(super) struct Eagerness {
    longest: Duration,
    came_at: Instant,
    has_come: bool,
    is_polling: bool,
    /// Whether it has polled in vain since something came.
    gave_up: bool,
    /// How often waits were short of late, less [`LONG_WAIT`] for each long one.
    score: u32,
    rests_until: Option<Instant>,
}

impl Eagerness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            longest: Duration::ZERO,
            came_at: now,
            has_come: false,
            is_polling: false,
            gave_up: false,
            score: 0,
            rests_until: None,
        }
    }

    /// Polls for as long as that, where it did not for longer.
    pub(super) fn extend(&mut self, longest: Duration) {
        self.longest = self.longest.max(longest);
    }

    /// Something has come; says whether polling begins.
    pub(super) fn came(&mut self, now: Instant) -> bool {
        // To be woken took its time: without a sleep the wait would have been shorter.
        let is_short = now.duration_since(self.came_at) < 2 * self.longest;
        self.score = if is_short && !self.gave_up {
            MOST.min(self.score + 1)
        } else {
            self.score.saturating_sub(LONG_WAIT)
        };
        self.came_at = now;
        self.has_come = true;
        self.gave_up = false;
        self.rests_until = self.rests_until.filter(|end| now < *end);
        let is_worth_it = self.score >= WORTH_IT && self.rests_until.is_none();
        let begins = is_worth_it && !self.is_polling;
        self.is_polling |= begins;
        begins
    }

    pub(super) fn next(&mut self, now: Instant) -> Next {
        if std::mem::take(&mut self.has_come) {
            return Next::Work;
        }
        let is_late = now.duration_since(self.came_at) >= self.longest;
        if is_late || self.rests_until.is_some() {
            self.is_polling = false;
            self.gave_up = true;
            return Next::Sleep;
        }
        Next::Poll
    }

    /// Others could have the core while it was polled.
    pub(super) fn yielded(&mut self, began: Instant, now: Instant) {
        if now.duration_since(began) > TURN {
            self.rests_until = Some(now + REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times in microseconds from a beginning, and at most 50 to be polled.
    struct Clock(Instant, Eagerness);

    impl Clock {
        fn new() -> Self {
            let now = Instant::now();
            let mut eagerness = Eagerness::new(now);
            eagerness.extend(Duration::from_micros(50));
            Self(now, eagerness)
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
    }

    /// After as many short waits as make it poll; says when the last one ended.
    fn eager() -> (Clock, u64) {
        let mut clock = Clock::new();
        for nth in 1..8 {
            assert!(!clock.came(90 * nth));
        }
        assert!(clock.came(720));
        assert_eq!(clock.next(720), Next::Work);
        (clock, 720)
    }

    #[test]
    fn after_short_waits_it_polls_until_the_longest_time_has_passed() {
        let (mut clock, at) = eager();
        assert_eq!(clock.next(at + 49), Next::Poll);
        // What comes begins the time anew.
        assert!(!clock.came(at + 49));
        assert_eq!(clock.next(at + 50), Next::Work);
        assert_eq!(clock.next(at + 98), Next::Poll);
        assert_eq!(clock.next(at + 99), Next::Sleep);
    }

    #[test]
    fn after_a_wait_that_was_polled_in_vain_it_sleeps_at_once() {
        let (mut clock, at) = eager();
        assert_eq!(clock.next(at + 50), Next::Sleep);
        // Polled and slept together are the wait.
        assert!(!clock.came(at + 90));
        assert!(!clock.came(at + 91));
    }

    #[test]
    fn where_short_and_long_waits_take_turns_it_never_polls() {
        let mut clock = Clock::new();
        for nth in 1..100 {
            assert!(!clock.came(1000 * nth));
            assert!(!clock.came(1000 * nth + 10));
        }
    }

    #[test]
    fn it_goes_on_after_a_few_long_waits_among_many_short_ones() {
        let (mut clock, mut at) = eager();
        for _ in 0..8 {
            at += 10;
            clock.came(at);
        }
        assert_eq!(clock.next(at), Next::Work);
        assert_eq!(clock.next(at + 50), Next::Sleep);
        assert!(clock.came(at + 1000));
    }

    #[test]
    fn it_rests_where_somebody_else_needs_the_core() {
        let (mut clock, at) = eager();
        let (began, now) = (clock.at(at), clock.at(at + 3000));
        clock.1.yielded(began, now);
        assert_eq!(clock.next(at + 3000), Next::Sleep);
        for nth in 1..100 {
            assert!(!clock.came(at + 3000 + 90 * nth));
        }
        assert!(!clock.came(at + 102_990));
        assert!(clock.came(at + 103_000));
    }
}
