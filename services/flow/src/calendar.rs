//! Dates and minutes of the proleptic Gregorian calendar.
//!
//! The machine may not read a clock, and needs only days, weekdays and minutes of a day: so this
//! small calendar stands in for a library of times, which all bring clocks and time zones.

use serde::{Deserialize, Serialize};

/// Minutes of a day.
pub const DAY_MINUTES: i64 = 1440;

/// The Julian day number of 1970-01-01.
const JULIAN_EPOCH: i64 = 2_440_588;

/// Names of the days of the week, from Sunday, which has number 0.
pub const DAY_NAMES: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

/// Names of the months, from January.
pub const MONTH_NAMES: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A moment that a command comes with: the machine itself reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// Unix time, in seconds.
    pub unix: i64,
    /// What local time is ahead of UTC, in seconds.
    pub offset: i32,
}

impl Moment {
    /// A moment in UTC, from Unix time in seconds.
    #[must_use]
    pub const fn utc(unix: i64) -> Self {
        Self { unix, offset: 0 }
    }

    /// Seconds since 1970-01-01 00:00 by the wall clock.
    #[must_use]
    pub fn local(self) -> i64 {
        self.unix.saturating_add(i64::from(self.offset))
    }
}

/// A day, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Date(i32);

impl Date {
    /// The day `days` after 1970-01-01, held within the years that `i32` days reach.
    #[must_use]
    pub fn from_days(days: i64) -> Self {
        // Ten million days are 27,000 years: every sum of two of them still fits.
        Self(i32::try_from(days.clamp(-10_000_000, 10_000_000)).unwrap_or_default())
    }

    /// The date of a day, month and year; `None` if there is no such day.
    #[must_use]
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        if !(1..=12).contains(&month) || day == 0 || !(1..=9999).contains(&year) {
            return None;
        }
        let date = Self::from_days(days_from_civil(year, month, day));
        (date.civil() == (year, month, day)).then_some(date)
    }

    /// The date of a number such as 20261129; `None` if it is not one.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        let year = i32::try_from(number / 10_000).ok()?;
        let month = u8::try_from(number / 100 % 100).ok()?;
        Self::new(year, month, u8::try_from(number % 100).ok()?)
    }

    /// The date as a number such as 20261129.
    #[must_use]
    pub fn number(self) -> i64 {
        let (year, month, day) = self.civil();
        i64::from(year) * 10_000 + i64::from(month) * 100 + i64::from(day)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn days(self) -> i64 {
        i64::from(self.0)
    }

    /// The date of a Julian day number.
    #[must_use]
    pub fn from_julian(julian: i64) -> Self {
        Self::from_days(julian.saturating_sub(JULIAN_EPOCH))
    }

    /// The Julian day number.
    #[must_use]
    pub fn julian(self) -> i64 {
        self.days() + JULIAN_EPOCH
    }

    /// This date and `days` more.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self::from_days(self.days().saturating_add(days))
    }

    /// The number of the day of the week; Sunday is 0.
    #[must_use]
    pub fn weekday(self) -> u8 {
        u8::try_from((self.days() + 4).rem_euclid(7)).unwrap_or_default()
    }

    /// The number of the day in its year, from 1.
    #[must_use]
    pub fn day_of_year(self) -> i64 {
        self.days() - days_from_civil(self.civil().0, 1, 1) + 1
    }

    /// Year, month and day of the month.
    ///
    /// The algorithm is `civil_from_days` of Howard Hinnant's "chrono-Compatible Low-Level Date
    /// Algorithms": years begin in March, in eras of 400 years.
    #[must_use]
    pub fn civil(self) -> (i32, u8, u8) {
        let shifted = self.days() + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096).div_euclid(365);
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (
            i32::try_from(year).unwrap_or_default(),
            u8::try_from(month).unwrap_or_default(),
            u8::try_from(day).unwrap_or_default(),
        )
    }
}

/// The inverse of [`Date::civil`], from the same source.
fn days_from_civil(year: i32, month: u8, day: u8) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let from_march = (i64::from(month) + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A time of a day, or a span, in minutes, as `hh:mm`.
#[must_use]
pub fn clock_text(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_of_days_agree() {
        for days in -800_000..800_000 {
            let date = Date::from_days(days);
            let (year, month, day) = date.civil();
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn known_dates_are_right() {
        let date = Date::from_number(20_260_101).unwrap();
        assert_eq!((date.julian(), date.weekday()), (2_461_042, 4));
        let date = Date::from_number(20_261_130).unwrap();
        assert_eq!(
            (date.julian(), date.weekday(), date.day_of_year()),
            (2_461_375, 1, 334)
        );
        assert_eq!(Date::from_number(20_260_229), None);
        assert_eq!(Date::from_number(-20_260_201), None);
    }
}
