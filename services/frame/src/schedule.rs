//! When jobs are due: times as in crontab, in a time zone.

use std::fmt;

use croner::{
    Cron,
    errors::CronError,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, Zoned, civil, tz::TimeZone};

/// The names for times that are taken.
const NAMES: [&str; 6] = [
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
];
/// The most bytes of a time.
const MAX_SIZE: usize = 256;

/// A time as in crontab: five fields, or `@hourly` to `@yearly`.
///
/// A job with one minute and one hour that falls into the hour that a clock change leaves out runs at
/// the end of that hour, and in the hour that is repeated it runs at the first pass only. All others
/// skip the one and run in both passes of the other.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time: {reason}")]
pub struct ScheduleError {
    text: String,
    reason: String,
}

impl Schedule {
    /// Reads a time.
    ///
    /// # Errors
    /// Another number of fields, a field out of its range, a name that is not known (`@reboot` among
    /// them), or a time that never comes.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let refused = |reason: String| ScheduleError {
            text: text.escape_debug().take(MAX_SIZE).collect(),
            reason,
        };
        if text.len() > MAX_SIZE {
            return Err(refused(format!("it has more than {MAX_SIZE} bytes")));
        }
        let fields = text.split_whitespace().count();
        if text.contains('@') {
            if !NAMES.contains(&text.trim().to_lowercase().as_str()) {
                return Err(refused(format!("the names are {}", NAMES.join(", "))));
            }
        } else if fields != 5 {
            return Err(refused(format!(
                "it has {fields} fields; five are needed: minute, hour, day, month, weekday"
            )));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(text)
            .map_err(|error| refused(error.to_string()))?;
        let schedule = Self {
            text: text.to_owned(),
            cron,
        };
        // Eight years hold each weekday on February 29 but at the turn of some centuries.
        let start = civil::date(2000, 1, 1).to_zoned(TimeZone::UTC);
        match start.map(|start| schedule.next_after(&start)) {
            Ok(Some(_)) => Ok(schedule),
            _ => Err(refused("it never comes".to_owned())),
        }
    }

    /// The first time after `after`, in its time zone.
    #[must_use]
    pub fn next_after(&self, after: &Zoned) -> Option<Zoned> {
        match self.cron.find_next_occurrence(after, false) {
            Ok(next) => Some(next),
            Err(CronError::TimeSearchLimitExceeded) => None,
            Err(error) => {
                tracing::warn!(time = self.text, "no next time: {error}");
                None
            }
        }
    }

    /// The first time after `after`, in Unix milliseconds.
    #[must_use]
    pub fn next_after_ms(&self, after_ms: i64, zone: &TimeZone) -> Option<i64> {
        let after = Timestamp::from_millisecond(after_ms).ok()?;
        let next = self.next_after(&after.to_zoned(zone.clone()))?;
        Some(next.timestamp().as_millisecond())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The ticks of a job that were due in (`after_ms`, `until_ms`]: how many, and the latest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DueTicks {
    /// How many; at most [`DueTicks::MAX_COUNTED`].
    pub count: u32,
    /// In Unix milliseconds.
    pub latest_ms: Option<i64>,
}

impl DueTicks {
    /// Ticks that are counted one by one: those of a job of each minute in a week.
    pub const MAX_COUNTED: u32 = 10_080;

    /// Counts the ticks of a schedule. After the maximum it goes on from a minute before the end.
    #[must_use]
    pub fn between(schedule: &Schedule, zone: &TimeZone, after_ms: i64, until_ms: i64) -> Self {
        let mut due = Self::default();
        let mut at = after_ms;
        while let Some(next) = schedule
            .next_after_ms(at, zone)
            .filter(|next| *next <= until_ms)
        {
            due.latest_ms = Some(next);
            if due.count < Self::MAX_COUNTED {
                due.count += 1;
                at = next;
            } else if at < until_ms - 60_000 {
                at = until_ms - 60_000;
            } else {
                at = next;
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(time: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(time).expect(time);
        let mut at: Zoned = after.parse().expect("a time");
        let next = || {
            at = schedule.next_after(&at).expect("a next time");
            at.strftime("%m-%d %H:%M %:z").to_string()
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn a_fixed_time_in_the_gap_runs_once_at_its_end() {
        let spring = "2027-03-28T00:00[Europe/Berlin]";
        assert_eq!(
            times("30 2 * * *", spring, 2),
            ["03-28 03:00 +02:00", "03-29 02:30 +02:00"]
        );
        assert_eq!(times("*/30 2 * * *", spring, 1), ["03-29 02:00 +02:00"]);
        assert_eq!(
            times("30 2,3 * * *", spring, 2),
            ["03-28 03:30 +02:00", "03-29 02:30 +02:00"]
        );
    }

    #[test]
    fn a_fixed_time_in_the_repeated_hour_runs_at_its_first_pass() {
        let autumn = "2026-10-25T00:00[Europe/Berlin]";
        assert_eq!(
            times("30 2 * * *", autumn, 2),
            ["10-25 02:30 +02:00", "10-26 02:30 +01:00"]
        );
        let passes = [
            "10-25 02:00 +02:00",
            "10-25 02:30 +02:00",
            "10-25 02:00 +01:00",
            "10-25 02:30 +01:00",
            "10-25 03:00 +01:00",
        ];
        assert_eq!(
            times("*/30 * * * *", "2026-10-25T01:59[Europe/Berlin]", 5),
            passes
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for (time, reason) in [
            ("61 * * * *", ""),
            ("* * * *", "4 fields"),
            ("* * * * * *", "6 fields"),
            ("@reboot", "@hourly"),
            ("@every 5m", "@hourly"),
            ("0 0 30 2 *", "never comes"),
            ("", "0 fields"),
            ("a b c d e", ""),
        ] {
            let error = Schedule::parse(time).expect_err(time).to_string();
            assert!(
                error.starts_with(&format!("`{time}` is not a time: ")),
                "{error}"
            );
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_ticks_of_a_time_away_are_counted() {
        let schedule = Schedule::parse("* * * * *").expect("a time");
        let count =
            |minutes: i64| DueTicks::between(&schedule, &TimeZone::UTC, 0, minutes * 60_000);
        assert_eq!(count(0), DueTicks::default());
        assert_eq!(
            count(30),
            DueTicks {
                count: 30,
                latest_ms: Some(1_800_000)
            }
        );
        let month = count(30 * 1440);
        assert_eq!(month.count, DueTicks::MAX_COUNTED);
        assert_eq!(month.latest_ms, Some(30 * 1440 * 60_000));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9*/,@a-zL#W -]{0,24}") {
            let _ = Schedule::parse(&text);
        }

        #[test]
        fn the_next_time_is_later(minute in 0..60, hour in 0..24, at in 0_i64..4_000_000_000) {
            let schedule = Schedule::parse(&format!("{minute} {hour} * * *")).expect("a time");
            let next = schedule.next_after_ms(at * 1000, &TimeZone::get("Europe/Berlin").expect("a zone"));
            prop_assert!(next.expect("a time") > at * 1000);
        }
    }
}
