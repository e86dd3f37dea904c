//! When to look for messages, and when to sleep; by times alone.

use std::time::{Duration, Instant};

/// Who has the core for longer than that has more to do than to answer us.
const TURN: Duration = Duration::from_micros(500);
/// For so long nobody looks on a core that somebody else has work for: who
/// yields there gets it back only when the other's time is up.
const REST: Duration = Duration::from_millis(100);

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
    rests_until: Option<Instant>,
}

impl Eagerness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            longest: Duration::ZERO,
            came_at: now,
            has_come: false,
            is_polling: false,
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
        let was_short = now.duration_since(self.came_at) < 2 * self.longest;
        self.came_at = now;
        self.has_come = true;
        self.rests_until = self.rests_until.filter(|end| now < *end);
        let begins = !self.is_polling && was_short && self.rests_until.is_none();
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

    #[test]
    fn after_a_short_wait_it_polls_until_the_longest_time_has_passed() {
        let mut clock = Clock::new();
        assert!(!clock.came(1000));
        assert!(clock.came(1090));
        assert_eq!(clock.next(1091), Next::Work);
        assert_eq!(clock.next(1139), Next::Poll);
        // What comes begins the time anew.
        assert!(!clock.came(1139));
        assert_eq!(clock.next(1140), Next::Work);
        assert_eq!(clock.next(1188), Next::Poll);
        assert_eq!(clock.next(1189), Next::Sleep);
    }

    #[test]
    fn after_a_long_wait_it_sleeps_at_once() {
        let mut clock = Clock::new();
        assert!(clock.came(10));
        assert_eq!(clock.next(10), Next::Work);
        assert_eq!(clock.next(60), Next::Sleep);
        // Polled and slept together are the wait.
        assert!(!clock.came(110));
        assert!(!clock.came(210));
        assert!(clock.came(309));
    }

    #[test]
    fn it_rests_where_somebody_else_needs_the_core() {
        let mut clock = Clock::new();
        assert!(clock.came(10));
        assert_eq!(clock.next(10), Next::Work);
        assert_eq!(clock.next(11), Next::Poll);
        let (began, now) = (clock.at(11), clock.at(3011));
        clock.1.yielded(began, now);
        assert!(!clock.came(3011));
        assert_eq!(clock.next(3011), Next::Work);
        assert_eq!(clock.next(3011), Next::Sleep);
        assert!(!clock.came(3020));
        assert!(!clock.came(103_000));
        assert!(clock.came(103_011));
    }
}
