//! Times at which a node may run: `time`, `today`, `cron`, `date` and `day`.
//!
//! Each rule knows the minute or date at which it comes free next, as a number on the clock of the
//! suite, so that a minute that the server sleeps through is not missed. A rule that is free stays
//! so until the node has run.

use serde::{Deserialize, Serialize};

use crate::calendar::{DAY_MINUTES, Date};

/// How many days ahead a date is looked for: 29 February can be eight years away.
const SEARCH_DAYS: i64 = 366 * 9;

/// The clock of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteTime {
    /// Minutes since 1970-01-01 00:00. Runs on even if the date stands still.
    pub minute: i64,
    /// The date, which stands still on a hybrid clock.
    pub date: Date,
}

impl SuiteTime {
    /// The minute of the day.
    #[must_use]
    pub fn minute_of_day(self) -> i64 {
        self.minute.rem_euclid(DAY_MINUTES)
    }
}

/// One minute of the day, or several at even distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Counted from begin or requeue instead of midnight.
    pub is_relative: bool,
    /// The first minute.
    pub start: u32,
    /// The bound of the last minute, and the step, which is not 0.
    pub range: Option<(u32, u32)>,
}

impl Series {
    /// The first minute of the series at or after `from`, both counted from the same start.
    fn first_from(self, from: i64) -> Option<i64> {
        let start = i64::from(self.start);
        if from <= start {
            return Some(start);
        }
        let (finish, step) = self.range?;
        let step = i64::from(step);
        let slot = start + (from - start + step - 1) / step * step;
        (slot <= i64::from(finish)).then_some(slot)
    }
}

/// Whether a time that has passed counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeKind {
    /// A time that has passed at begin comes again tomorrow.
    Time,
    /// A time that has passed at begin is free at once, if it is the only `today` of its node.
    Today,
}

/// `time` or `today`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRule {
    /// Which of both.
    pub kind: TimeKind,
    /// The minutes.
    pub series: Series,
    /// The present value.
    pub slot: Slot,
}

/// `cron`: minutes on certain days. An empty set of days or months holds them all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// Bits of the days of the week; bit 0 is Sunday.
    pub weekdays: u8,
    /// Bits of the days of the month, from bit 1.
    pub days: u32,
    /// Bits of the months, from bit 1.
    pub months: u16,
    /// The minutes.
    pub series: Series,
    /// The present value.
    pub slot: Slot,
}

/// When a rule in minutes comes free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The next minute on the suite's clock.
    pub next: Option<i64>,
    /// Slots up to this minute are used up.
    pub used: Option<i64>,
    /// Whether the rule is free.
    pub is_free: bool,
}

/// `date`: `None` stands for `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateRule {
    /// The day of the month.
    pub day: Option<u8>,
    /// The month.
    pub month: Option<u8>,
    /// The year.
    pub year: Option<u16>,
    /// The next date.
    pub next: Option<Date>,
    /// Whether the rule is free.
    pub is_free: bool,
}

/// `day`: once, on the next such day of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRule {
    /// The day of the week; Sunday is 0.
    pub weekday: u8,
    /// The next date.
    pub next: Option<Date>,
    /// Whether the rule is free.
    pub is_free: bool,
}

/// All times of a node. Several of a kind: one has to be free; several kinds: one of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// `time` and `today`.
    pub times: Vec<TimeRule>,
    /// `cron`.
    pub crons: Vec<Cron>,
    /// `date`.
    pub dates: Vec<DateRule>,
    /// `day`.
    pub days: Vec<DayRule>,
    /// The minute of begin or requeue, from which relative times are counted.
    pub base: i64,
}

impl DateRule {
    fn matches(&self, date: Date) -> bool {
        let (year, month, day) = date.civil();
        self.day.is_none_or(|wanted| wanted == day)
            && self.month.is_none_or(|wanted| wanted == month)
            && self.year.is_none_or(|wanted| i32::from(wanted) == year)
    }

    fn first_from(&self, from: Date) -> Option<Date> {
        let begin = match self.year {
            // The search is bounded: start in the right year.
            Some(year) => from.max(Date::new(i32::from(year), 1, 1)?),
            None => from,
        };
        first_date(begin, |date| self.matches(date))
    }
}

impl DayRule {
    fn first_from(&self, from: Date) -> Option<Date> {
        first_date(from, |date| date.weekday() == self.weekday)
    }
}

impl TimeRule {
    /// The first slot at or after a minute.
    fn first_from(&self, from: i64, base: i64) -> Option<i64> {
        if self.series.is_relative {
            return self.series.first_from(from - base).map(|slot| base + slot);
        }
        let midnight = from - from.rem_euclid(DAY_MINUTES);
        let today = self.series.first_from(from - midnight);
        let tomorrow = midnight + DAY_MINUTES + i64::from(self.series.start);
        Some(today.map_or(tomorrow, |slot| midnight + slot))
    }

    /// Whether a slot is left today, or of those counted from the base.
    fn has_later(&self, now: i64, base: i64) -> bool {
        let next = self.first_from(self.slot.after(now), base);
        let day = |minute: i64| minute.div_euclid(DAY_MINUTES);
        next.is_some_and(|next| self.series.is_relative || day(next) == day(now))
    }
}

impl Cron {
    fn matches(&self, date: Date) -> bool {
        let (_, month, day) = date.civil();
        (self.weekdays == 0 || self.weekdays & (1 << date.weekday()) != 0)
            && (self.days == 0 || self.days & (1 << day) != 0)
            && (self.months == 0 || self.months & (1 << month) != 0)
    }

    /// The first slot at or after a minute, on a matching day.
    fn first_from(&self, from: i64, base: i64) -> Option<i64> {
        let date_of = |minute: i64| Date::from_days(minute.div_euclid(DAY_MINUTES));
        if self.series.is_relative {
            let slot = base + self.series.first_from(from - base)?;
            let date = first_date(date_of(slot), |date| self.matches(date))?;
            return Some(slot.max(date.days() * DAY_MINUTES));
        }
        let today = date_of(from);
        if self.matches(today) {
            let midnight = today.days() * DAY_MINUTES;
            if let Some(slot) = self.series.first_from(from - midnight) {
                return Some(midnight + slot);
            }
        }
        let date = first_date(today.plus(1), |date| self.matches(date))?;
        Some(date.days() * DAY_MINUTES + i64::from(self.series.start))
    }
}

impl Slot {
    /// The first minute that may be the next slot, after the present one and those used up.
    fn after(self, now: i64) -> i64 {
        self.used
            .map_or(now, |used| used.max(now))
            .saturating_add(1)
    }

    fn waiting_for(next: Option<i64>) -> Self {
        Self {
            next,
            used: None,
            is_free: false,
        }
    }
}

fn first_date(from: Date, matches: impl Fn(Date) -> bool) -> Option<Date> {
    (0..SEARCH_DAYS)
        .map(|days| from.plus(days))
        .find(|date| matches(*date))
}

impl Schedule {
    /// Whether there are no times.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
            && self.crons.is_empty()
            && self.dates.is_empty()
            && self.days.is_empty()
    }

    /// Starts anew, at begin, at an operator's requeue and when a repeat steps. As in
    /// [`Self::advance`], `is_guarded` says whether a date or day of a parent is not free.
    pub fn reset(&mut self, now: SuiteTime, is_guarded: bool) {
        self.base = now.minute;
        for date in &mut self.dates {
            date.is_free = false;
            date.next = date.first_from(now.date);
        }
        for day in &mut self.days {
            day.is_free = false;
            day.next = day.first_from(now.date);
        }
        let todays = self
            .times
            .iter()
            .filter(|time| time.kind == TimeKind::Today);
        // Of several, one that has passed does not count, as in ecFlow.
        let is_only_today = todays.count() == 1;
        for time in &mut self.times {
            let passed = now.minute_of_day() > i64::from(time.series.start);
            let is_today = time.kind == TimeKind::Today && !time.series.is_relative;
            let is_past = is_today && is_only_today && passed && time.series.range.is_none();
            let next = if is_past {
                Some(now.minute)
            } else {
                time.first_from(now.minute, self.base)
            };
            time.slot = Slot::waiting_for(next);
        }
        for cron in &mut self.crons {
            cron.slot = Slot::waiting_for(cron.first_from(now.minute, self.base));
        }
        self.advance(now, is_guarded);
    }

    /// Whether the node is to be queued again after it completed: for a cron, a later slot of
    /// today, or a later date.
    #[must_use]
    pub fn has_later(&self, now: SuiteTime) -> bool {
        !self.crons.is_empty() || self.has_later_today(now) || self.has_later_date(now)
    }

    fn has_later_today(&self, now: SuiteTime) -> bool {
        self.is_date_free()
            && self
                .times
                .iter()
                .any(|time| time.has_later(now.minute, self.base))
    }

    /// A `day` is for one run, as in ecFlow: it does not queue the node again.
    fn has_later_date(&self, now: SuiteTime) -> bool {
        let tomorrow = now.date.plus(1);
        let mut dates = self.dates.iter();
        dates.any(|date| date.first_from(tomorrow).is_some())
    }

    /// Goes on to the next slots, when the node is queued again because of [`Self::has_later`].
    pub fn requeue(&mut self, now: SuiteTime) {
        if !self.has_later_today(now) {
            let tomorrow = now.date.plus(1);
            for date in &mut self.dates {
                date.is_free = false;
                date.next = date.first_from(tomorrow);
            }
            for day in &mut self.days {
                day.is_free = false;
                day.next = day.next.filter(|next| *next > now.date);
            }
        }
        for time in &mut self.times {
            let next = time.first_from(time.slot.after(now.minute), self.base);
            time.slot = Slot::waiting_for(next);
        }
        for cron in &mut self.crons {
            let from = cron.slot.after(now.minute);
            let next = cron.first_from(from, self.base).or_else(|| {
                // A relative cron whose last slot has passed counts from now.
                self.base = now.minute;
                cron.first_from(now.minute + 1, now.minute)
            });
            cron.slot = Slot::waiting_for(next);
        }
    }

    /// Uses up the next slot: the node ran, or completed, by order of an operator.
    pub fn use_slot(&mut self) {
        for time in &mut self.times {
            time.slot.used = time.slot.next.max(time.slot.used);
        }
        for cron in &mut self.crons {
            cron.slot.used = cron.slot.next.max(cron.slot.used);
        }
    }

    /// Frees what has come; true if anything has changed. Minutes count only on days that are
    /// free: `is_guarded` says whether a date or day of a parent is not.
    pub fn advance(&mut self, now: SuiteTime, is_guarded: bool) -> bool {
        let mut is_changed = false;
        for date in &mut self.dates {
            let is_due = !date.is_free && date.next.is_some_and(|next| next <= now.date);
            date.is_free |= is_due;
            is_changed |= is_due;
        }
        for day in &mut self.days {
            let is_due = !day.is_free && day.next.is_some_and(|next| next <= now.date);
            day.is_free |= is_due;
            is_changed |= is_due;
        }
        let is_date_free = self.is_date_free() && !is_guarded;
        for time in &mut self.times {
            if time.slot.is_free || time.slot.next.is_none_or(|next| next > now.minute) {
                continue;
            }
            is_changed = true;
            if is_date_free {
                time.slot.is_free = true;
            } else {
                time.slot.next = time.first_from(now.minute + 1, self.base);
            }
        }
        for cron in &mut self.crons {
            if cron.slot.is_free || cron.slot.next.is_none_or(|next| next > now.minute) {
                continue;
            }
            is_changed = true;
            if is_date_free {
                cron.slot.is_free = true;
            } else {
                cron.slot.next = cron.first_from(now.minute + 1, self.base);
            }
        }
        is_changed
    }

    /// Whether the node may run.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let of_kind = |kind| {
            let mut of_kind = self
                .times
                .iter()
                .filter(|time| time.kind == kind)
                .peekable();
            of_kind.peek().is_none() || of_kind.any(|time| time.slot.is_free)
        };
        self.is_date_free()
            && of_kind(TimeKind::Time)
            && of_kind(TimeKind::Today)
            && (self.crons.is_empty() || self.crons.iter().any(|cron| cron.slot.is_free))
    }

    /// Whether date and day permit the node to run.
    #[must_use]
    pub fn is_date_free(&self) -> bool {
        (self.dates.is_empty() || self.dates.iter().any(|date| date.is_free))
            && (self.days.is_empty() || self.days.iter().any(|day| day.is_free))
    }

    /// Frees the times of a kind (`time`, `date`), or all.
    pub fn set_free(&mut self, times: bool, dates: bool) {
        if times {
            for time in &mut self.times {
                time.slot.is_free = true;
            }
            for cron in &mut self.crons {
                cron.slot.is_free = true;
            }
        }
        if dates {
            for date in &mut self.dates {
                date.is_free = true;
            }
            for day in &mut self.days {
                day.is_free = true;
            }
        }
    }

    /// The next minute on the suite's clock at which [`Self::advance`] may change something.
    #[must_use]
    pub fn next_minute(&self) -> Option<i64> {
        let slots = self
            .times
            .iter()
            .map(|time| &time.slot)
            .chain(self.crons.iter().map(|cron| &cron.slot));
        let minutes = slots.filter_map(|slot| slot.next.filter(|_| !slot.is_free));
        let dates = self
            .dates
            .iter()
            .filter_map(|date| date.next.filter(|_| !date.is_free));
        let days = self
            .days
            .iter()
            .filter_map(|day| day.next.filter(|_| !day.is_free));
        minutes
            .chain(dates.chain(days).map(|date| date.days() * DAY_MINUTES))
            .min()
    }
}
