//! Repeats: what changes from run to run of a node.

use serde::{Deserialize, Serialize};

use crate::calendar::Date;
use crate::expression::Value;

/// The most words of a list.
pub const MAX_WORDS: usize = 10_000;

/// A variable that takes its next value when the node is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// The name of the variable.
    pub name: Box<str>,
    /// Its values.
    pub kind: RepeatKind,
    /// The number of the present value, from 0; below [`Repeat::len`].
    pub index: u32,
}

/// The values of a repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RepeatKind {
    /// From one integer to another.
    Integer {
        /// The first one.
        from: i32,
        /// The bound of the last one.
        to: i32,
        /// The step; negative: downwards; never 0.
        step: i32,
    },
    /// From one date to another.
    Date {
        /// The first one.
        from: Date,
        /// The bound of the last one.
        to: Date,
        /// The step in days; negative: downwards; never 0.
        step: i32,
    },
    /// Dates, one by one.
    DateList(Box<[Date]>),
    /// Words. In expressions a word that is a number counts as such, any other as its position.
    Enumerated(Box<[Box<str>]>),
    /// Words, which count as their position.
    String(Box<[Box<str>]>),
}

impl Repeat {
    /// A repeat at its first value.
    #[must_use]
    pub fn new(name: &str, kind: RepeatKind) -> Self {
        Self {
            name: name.into(),
            kind,
            index: 0,
        }
    }

    /// How many values there are, at least 1.
    #[must_use]
    pub fn len(&self) -> u32 {
        let steps = match &self.kind {
            RepeatKind::Integer { from, to, step } => {
                (i64::from(*to) - i64::from(*from)) / i64::from(*step)
            }
            RepeatKind::Date { from, to, step } => (to.days() - from.days()) / i64::from(*step),
            RepeatKind::DateList(dates) => return count(dates.len()),
            RepeatKind::Enumerated(words) | RepeatKind::String(words) => return count(words.len()),
        };
        u32::try_from(steps.max(0)).unwrap_or(u32::MAX - 1) + 1
    }

    /// Whether there are no values; never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the next value; false, with nothing changed, if this is the last one.
    pub fn step(&mut self) -> bool {
        let has_next = self.index + 1 < self.len();
        self.index += u32::from(has_next);
        has_next
    }

    /// Takes the value that is written so; false, with nothing changed, if there is none.
    pub fn set(&mut self, text: &str) -> bool {
        let position = match &self.kind {
            RepeatKind::Integer { from, step, .. } => text
                .parse::<i64>()
                .ok()
                .and_then(|value| position(value - i64::from(*from), *step)),
            RepeatKind::Date { from, step, .. } => {
                parse_date(text).and_then(|value| position(value.days() - from.days(), *step))
            }
            RepeatKind::DateList(dates) => parse_date(text).and_then(|date| {
                let at = dates.iter().position(|known| *known == date);
                at.map(count)
            }),
            RepeatKind::Enumerated(words) | RepeatKind::String(words) => {
                let at = words.iter().position(|word| &**word == text);
                at.map(count)
            }
        };
        match position.filter(|index| *index < self.len()) {
            Some(index) => {
                self.index = index;
                true
            }
            None => false,
        }
    }

    /// The present value, as the variable has it.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.kind {
            RepeatKind::Enumerated(words) | RepeatKind::String(words) => {
                self.word(words).to_owned()
            }
            _ => self.value().number().to_string(),
        }
    }

    /// The present value, as expressions have it.
    #[must_use]
    pub fn value(&self) -> Value {
        let index = i64::from(self.index);
        match &self.kind {
            RepeatKind::Integer { from, step, .. } => {
                Value::Integer(i64::from(*from) + index * i64::from(*step))
            }
            RepeatKind::Date { .. } | RepeatKind::DateList(_) => {
                self.date().map_or(Value::Integer(0), Value::Date)
            }
            RepeatKind::Enumerated(words) => {
                Value::Integer(self.word(words).parse::<i32>().map_or(index, i64::from))
            }
            RepeatKind::String(_) => Value::Integer(index),
        }
    }

    /// The present value, if it is a date.
    #[must_use]
    pub fn date(&self) -> Option<Date> {
        match &self.kind {
            RepeatKind::Date { from, step, .. } => {
                Some(from.plus(i64::from(self.index) * i64::from(*step)))
            }
            RepeatKind::DateList(dates) => dates.get(self.index as usize).copied(),
            _ => None,
        }
    }

    /// The variables beside the repeat's own: `NAME_YYYY` and others of a date.
    #[must_use]
    pub fn date_part(&self, suffix: &str) -> Option<i64> {
        let date = self.date()?;
        let (year, month, day) = date.civil();
        Some(match suffix {
            "_YYYY" => i64::from(year),
            "_MM" => i64::from(month),
            "_DD" => i64::from(day),
            "_DOW" => i64::from(date.weekday()),
            "_JULIAN" => date.julian(),
            _ => return None,
        })
    }

    fn word<'a>(&self, words: &'a [Box<str>]) -> &'a str {
        words.get(self.index as usize).map_or("", |word| word)
    }
}

fn parse_date(text: &str) -> Option<Date> {
    text.parse().ok().and_then(Date::from_number)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Which step leads to a distance, if one does.
fn position(distance: i64, step: i32) -> Option<u32> {
    let step = i64::from(step);
    (distance % step == 0)
        .then(|| u32::try_from(distance / step).ok())
        .flatten()
}
