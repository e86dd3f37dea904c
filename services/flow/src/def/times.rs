//! Statements about time: when a node runs, is late, or goes.

use crate::attribute::{
    AutoCancel, Clock, Cron, DateRule, DayRule, Late, Series, Slot, TimeKind, TimeRule,
};
use crate::calendar::{DAY_NAMES, Date};

use super::attributes::{AttributeParser, Result, bad_date, bad_word, shown};
use super::diagnostic::{Code, Diagnostic};
use super::lexer::Word;

impl AttributeParser<'_, '_> {
    pub(super) fn time(&mut self, kind: TimeKind) -> Result<()> {
        let series = self.series(1)?;
        self.attributes.schedule_mut().times.push(TimeRule {
            kind,
            series,
            slot: Slot::default(),
        });
        Ok(())
    }

    pub(super) fn cron(&mut self) -> Result<()> {
        let (mut weekdays, mut days, mut months) = (0, 0, 0);
        let mut next = 1;
        loop {
            let (bits, first, last) = match self.words.get(next).map(|word| word.text) {
                Some("-w") => (&mut weekdays, 0, 6),
                Some("-d") => (&mut days, 1, 31),
                Some("-m") => (&mut months, 1, 12),
                _ => break,
            };
            let list = self.word(next + 1, "a list of numbers")?;
            for part in list.text.split(',') {
                let number = part.parse::<u8>().ok();
                let number = number.filter(|number| (first..=last).contains(number));
                *bits |= 1_u32
                    << number.ok_or_else(|| {
                        let message = format!("`{part}` is not a number from {first} to {last}");
                        Diagnostic::new(Code::BadNumber, list.span.clone(), message)
                    })?;
            }
            next += 2;
        }
        let series = self.series(next)?;
        self.attributes.schedule_mut().crons.push(Cron {
            weekdays: u8::try_from(weekdays).unwrap_or_default(),
            days,
            months: u16::try_from(months).unwrap_or_default(),
            series,
            slot: Slot::default(),
        });
        Ok(())
    }

    /// `[+]hh:mm [hh:mm hh:mm]`, up to the end of the statement.
    fn series(&mut self, first: usize) -> Result<Series> {
        let word = self.word(first, "a time")?;
        let is_relative = word.text.starts_with('+');
        let start = minutes(word, word.text.trim_start_matches('+'))?;
        let range = match self.words.get(first + 1) {
            None => None,
            Some(word) => {
                let finish = minutes(word, word.text)?;
                if finish < start {
                    let message = "the last time is before the first one";
                    return Err(Diagnostic::new(Code::BadTime, word.span.clone(), message));
                }
                let word = self.word(first + 2, "a step")?;
                let step = minutes(word, word.text)?;
                if step == 0 {
                    let message = "a step of 00:00 never ends";
                    return Err(Diagnostic::new(Code::BadTime, word.span.clone(), message));
                }
                Some((finish, step))
            }
        };
        self.end(first + 3)?;
        Ok(Series {
            is_relative,
            start,
            range,
        })
    }

    pub(super) fn date(&mut self) -> Result<()> {
        let word = self.word(1, "a date such as 29.11.2026 or 1.*.*")?;
        let parts: Vec<_> = word.text.split('.').collect();
        let [day, month, year] = parts[..] else {
            return Err(bad_date(word));
        };
        let part = |text: &str, last: u16| match text {
            "*" => Ok(None),
            _ => match text.parse::<u16>() {
                Ok(number) if (1..=last).contains(&number) => Ok(Some(number)),
                _ => Err(bad_date(word)),
            },
        };
        let narrow = |part: Option<u16>| part.and_then(|number| u8::try_from(number).ok());
        let (day, month) = (narrow(part(day, 31)?), narrow(part(month, 12)?));
        let year = part(year, 9999)?;
        // 2024 is a leap year: a day that it does not have is in no year.
        let in_year = year.map_or(2024, i32::from);
        if Date::new(in_year, month.unwrap_or(1), day.unwrap_or(1)).is_none() {
            return Err(bad_date(word));
        }
        self.attributes.schedule_mut().dates.push(DateRule {
            day,
            month,
            year,
            next: None,
            is_free: false,
        });
        self.end(2)
    }

    pub(super) fn day(&mut self) -> Result<()> {
        let word = self.word(1, "a day of the week")?;
        let position = DAY_NAMES.iter().position(|name| *name == word.text);
        let weekday = position.and_then(|day| u8::try_from(day).ok());
        let weekday =
            weekday.ok_or_else(|| bad_word(word, "a day of the week", "sunday to saturday"))?;
        self.attributes.schedule_mut().days.push(DayRule {
            weekday,
            next: None,
            is_free: false,
        });
        self.end(2)
    }

    pub(super) fn late(&mut self) -> Result<()> {
        let mut late = Late::default();
        let mut next = 1;
        self.word(1, "`-s`, `-a` or `-c`")?;
        while let Some(option) = self.words.get(next) {
            let word = self.word(next + 1, "a time")?;
            let time = minutes(word, word.text.trim_start_matches('+'))?;
            let is_relative = word.text.starts_with('+');
            match option.text {
                "-s" => late.submitted = Some(time),
                "-a" if !is_relative => late.active = Some(time),
                "-a" => {
                    let message = "`-a` is a time of the day, without `+`";
                    return Err(Diagnostic::new(Code::BadTime, word.span.clone(), message));
                }
                "-c" => late.complete = Some((is_relative, time)),
                _ => return Err(bad_word(option, "an option of `late`", "-s, -a or -c")),
            }
            next += 2;
        }
        self.claim("late", "", &self.words[0])?;
        self.attributes.policies_mut().late = Some(late);
        Ok(())
    }

    pub(super) fn clock(&mut self) -> Result<()> {
        let kind = self.word(1, "`real` or `hybrid`")?;
        let is_hybrid = match kind.text {
            "real" => false,
            "hybrid" => true,
            _ => return Err(bad_word(kind, "a kind of clock", "real or hybrid")),
        };
        let mut clock = Clock {
            is_hybrid,
            date: None,
            gain: 0,
            is_gain_in_minutes: false,
        };
        let mut next = 2;
        if let Some(word) = self.words.get(next).filter(|word| word.text.contains('.')) {
            let parts: Vec<_> = word.text.split('.').map(str::parse).collect();
            let date = match parts[..] {
                [Ok(day), Ok(month), Ok(year)] => civil(day, month, year),
                _ => None,
            };
            clock.date = Some(date.ok_or_else(|| bad_date(word))?);
            next += 1;
        }
        if let Some(word) = self.words.get(next) {
            if let Some(time) = word
                .text
                .strip_prefix('+')
                .filter(|text| text.contains(':'))
            {
                clock.is_gain_in_minutes = true;
                clock.gain = minutes(word, time)? * 60;
            } else {
                clock.gain = self.number(next, "the gain in seconds")?;
            }
            next += 1;
        }
        self.claim("clock", "", &self.words[0])?;
        self.attributes.policies_mut().clock = Some(clock);
        self.end(next)
    }

    pub(super) fn auto_cancel(&mut self) -> Result<()> {
        let word = self.word(1, "a time or a number of days")?;
        let value = match word.text.strip_prefix('+') {
            Some(time) => AutoCancel::After(minutes(word, time)?),
            None if word.text.contains(':') => AutoCancel::At(minutes(word, word.text)?),
            None => AutoCancel::Days(self.number(1, "the number of days")?),
        };
        self.claim("autocancel", "", &self.words[0])?;
        self.attributes.policies_mut().auto_cancel = Some(value);
        self.end(2)
    }
}

fn civil(day: u16, month: u16, year: u16) -> Option<Date> {
    let (day, month) = (u8::try_from(day).ok()?, u8::try_from(month).ok()?);
    Date::new(i32::from(year), month, day)
}

/// Minutes of `hh:mm`, below 24:00.
fn minutes(word: &Word<'_>, text: &str) -> Result<u32> {
    let part = |text: &str, last: u32| {
        let is_digits =
            (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u32>().ok().filter(|_| is_digits);
        number.filter(|number| *number <= last)
    };
    let parsed = text
        .split_once(':')
        .and_then(|(hours, minutes)| Some(part(hours, 23)? * 60 + part(minutes, 59)?));
    parsed.ok_or_else(|| {
        let message = format!("`{}` is not a time", shown(word));
        Diagnostic::new(Code::BadTime, word.span.clone(), message)
            .help("write hh:mm, from 00:00 to 23:59")
    })
}
