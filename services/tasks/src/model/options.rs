//! The settings of a task, and their form in `Task::options`.

use std::{collections::BTreeMap, time::Duration};

use super::{
    priority::Priority,
    workflow::{self, MAX_MS, WorkflowStep},
};

/// The pause before a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// No pause.
    None,
    /// The same pause before each retry.
    Fixed(Duration),
    /// A random pause up to a bound that doubles with each retry.
    Exponential {
        /// The bound before the first retry.
        first: Duration,
        /// The highest bound.
        max: Duration,
    },
}

impl Backoff {
    /// A random pause up to a bound that starts with `first`, doubles with each retry, and stays
    /// at `max`.
    #[must_use]
    pub fn exponential(first: Duration, max: Duration) -> Self {
        Self::Exponential { first, max }
    }

    /// Reads `none`, `fixed MS` or `exponential FIRST MAX`, in milliseconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let kind = words.next()?;
        let mut pause = || {
            let ms = words.next()?.parse().ok()?;
            (ms <= MAX_MS).then(|| Duration::from_millis(ms))
        };
        let backoff = match kind {
            "none" => Self::None,
            "fixed" => Self::Fixed(pause()?),
            "exponential" => Self::exponential(pause()?, pause()?),
            _ => return None,
        };
        words.next().is_none().then_some(backoff)
    }

    /// The pause before retry number `retry`, counted from 0, in milliseconds. `random` is between
    /// 0 and `u32::MAX`.
    #[must_use]
    pub fn pause_ms(self, retry: u32, random: u32) -> u64 {
        match self {
            Self::None => 0,
            Self::Fixed(pause) => millis(pause),
            Self::Exponential { first, max } => {
                let doubled = millis(first).saturating_mul(1 << retry.min(40));
                let bound = u128::from(doubled.min(millis(max)));
                let pause = bound * u128::from(random) / u128::from(u32::MAX);
                u64::try_from(pause).unwrap_or(u64::MAX)
            }
        }
    }
}

/// The most bytes of a unique key.
const MAX_UNIQUE: usize = 255;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(MAX_MS, |ms| ms.min(MAX_MS))
}

/// The settings of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOptions {
    /// Attempts after the first one; 3 by default.
    pub retries: u32,
    /// The pause before a retry; by default exponential from 1 s to 10 min.
    pub backoff: Backoff,
    /// When the first attempt may begin, in milliseconds of Unix time; 0: at once.
    pub run_at_ms: u64,
    /// No attempt begins after this, in milliseconds of Unix time.
    pub expires_at_ms: Option<u64>,
    /// The time limit of an attempt; 25 min by default.
    pub time_limit: Duration,
    /// How long the record is kept after the end of the task; `None` for ever; 1 day by default.
    pub result_expires: Option<Duration>,
    /// The layout of the operation on the wire as the sender knows it, such as `long(int,int)`.
    pub signature: Option<String>,
    /// Which tasks of the group are taken first; normal by default.
    pub priority: Priority,
    /// A key that at most one task holds from its send to its end.
    pub unique: Option<String>,
    /// All steps of a workflow, the first one included; empty if the task has one step.
    pub steps: Vec<WorkflowStep>,
    /// Entries of the extra that the servant sees.
    pub extra: BTreeMap<String, String>,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            retries: 3,
            backoff: Backoff::exponential(Duration::from_secs(1), Duration::from_secs(600)),
            run_at_ms: 0,
            expires_at_ms: None,
            time_limit: Duration::from_secs(25 * 60),
            result_expires: Some(Duration::from_secs(24 * 3600)),
            signature: None,
            priority: Priority::Normal,
            unique: None,
            steps: Vec::new(),
            extra: BTreeMap::new(),
        }
    }
}

/// An option that does not parse, or does not fit another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the option `{key}` of the task is `{value}`: expected {expected}")]
pub struct OptionError {
    key: String,
    value: String,
    expected: &'static str,
}

const EXTRA: &str = "extra.";
const MILLISECONDS: &str = "milliseconds, at most 281474976710656";
const STEPS: &str = "a JSON array of 2 to 100 steps, each with `group` and `operation` (1 to 255 bytes), `run_after` (milliseconds) and `options` other than `steps`, `unique` and `run_at`";

impl TaskOptions {
    /// The pairs of `Task::options`.
    #[must_use]
    pub fn to_pairs(&self) -> BTreeMap<String, String> {
        let backoff = match self.backoff {
            Backoff::None => "none".to_owned(),
            Backoff::Fixed(pause) => format!("fixed {}", millis(pause)),
            Backoff::Exponential { first, max } => {
                format!("exponential {} {}", millis(first), millis(max))
            }
        };
        let kept = self
            .result_expires
            .map_or("-1".to_owned(), |it| millis(it).to_string());
        let mut pairs = BTreeMap::from([
            ("retry".to_owned(), self.retries.to_string()),
            ("backoff".to_owned(), backoff),
            ("run_at".to_owned(), self.run_at_ms.min(MAX_MS).to_string()),
            ("time_limit".to_owned(), millis(self.time_limit).to_string()),
            ("result_expires".to_owned(), kept),
        ]);
        if let Some(time) = self.expires_at_ms {
            pairs.insert("expires_at".to_owned(), time.min(MAX_MS).to_string());
        }
        if let Some(signature) = &self.signature {
            pairs.insert("signature".to_owned(), signature.clone());
        }
        if self.priority != Priority::Normal {
            pairs.insert("priority".to_owned(), self.priority.to_string());
        }
        if let Some(key) = &self.unique {
            pairs.insert("unique".to_owned(), key.clone());
        }
        if !self.steps.is_empty() {
            pairs.insert("steps".to_owned(), workflow::to_text(&self.steps));
        }
        let extra = self.extra.iter();
        pairs.extend(extra.map(|(key, value)| (format!("{EXTRA}{key}"), value.clone())));
        pairs
    }

    /// Reads the pairs; what is absent has its default.
    ///
    /// # Errors
    /// A key is unknown, a value does not parse, or the first attempt would begin after
    /// `expires_at`.
    pub fn from_pairs(pairs: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut options = Self::default();
        for (key, value) in pairs {
            let wrong = |expected| OptionError {
                key: key.clone(),
                value: value.clone(),
                expected,
            };
            let ms = || {
                let parsed = value.parse().ok().filter(|ms| *ms <= MAX_MS);
                parsed.ok_or_else(|| wrong(MILLISECONDS))
            };
            match key.as_str() {
                "retry" => {
                    options.retries = value.parse().map_err(|_| wrong("a number of retries"))?;
                }
                "backoff" => {
                    let expected = "`none`, `fixed MS` or `exponential MS MS`";
                    options.backoff = Backoff::parse(value).ok_or_else(|| wrong(expected))?;
                }
                "run_at" => options.run_at_ms = ms()?,
                "expires_at" => options.expires_at_ms = Some(ms()?),
                "signature" => options.signature = Some(value.clone()),
                "time_limit" => options.time_limit = Duration::from_millis(ms()?),
                "result_expires" if value == "-1" => options.result_expires = None,
                "result_expires" => options.result_expires = Some(Duration::from_millis(ms()?)),
                "priority" => {
                    let parsed = Priority::parse(value);
                    options.priority = parsed.ok_or_else(|| wrong("`high`, `normal` or `low`"))?;
                }
                "unique" if value.is_empty() || value.len() > MAX_UNIQUE => {
                    return Err(wrong("a key of 1 to 255 bytes"));
                }
                "unique" => options.unique = Some(value.clone()),
                "steps" => {
                    options.steps = workflow::parse(value).map_err(|problem| OptionError {
                        key: key.clone(),
                        value: problem,
                        expected: STEPS,
                    })?;
                    for step in &options.steps {
                        Self::from_pairs(&step.options)?;
                    }
                }
                key => match key.strip_prefix(EXTRA) {
                    Some(name) => {
                        options.extra.insert(name.to_owned(), value.clone());
                    }
                    None => return Err(wrong("no such option")),
                },
            }
        }
        match options.expires_at_ms {
            Some(time) if options.run_at_ms > time => Err(OptionError {
                key: "expires_at".to_owned(),
                value: time.to_string(),
                expected: "a time after `run_at`",
            }),
            _ => Ok(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::priority::PRIORITIES;

    fn duration() -> impl Strategy<Value = Duration> {
        (0..=MAX_MS).prop_map(Duration::from_millis)
    }

    fn backoff() -> impl Strategy<Value = Backoff> {
        prop_oneof![
            Just(Backoff::None),
            duration().prop_map(Backoff::Fixed),
            (duration(), duration()).prop_map(|(first, max)| Backoff::exponential(first, max)),
        ]
    }

    fn steps() -> impl Strategy<Value = Vec<WorkflowStep>> {
        let step = (".{1,8}", ".{1,8}", 0..=MAX_MS, 0_u32..9);
        let step = step.prop_map(|(group, operation, run_after_ms, retries)| WorkflowStep {
            group,
            operation,
            run_after_ms,
            options: BTreeMap::from([("retry".to_owned(), retries.to_string())]),
        });
        prop_oneof![Just(Vec::new()), proptest::collection::vec(step, 2..5)]
    }

    proptest! {
        #[test]
        fn pairs_keep_all_options(
            retries: u32, backoff in backoff(), run_at_ms in 0..1_u64 << 40,
            left in proptest::option::of(0..1_u64 << 40), time_limit in duration(),
            result_expires in proptest::option::of(duration()), priority in 0_usize..3,
            signature in proptest::option::of(".{0,8}"),
            unique in proptest::option::of(".{1,60}"), steps in steps(),
            extra in proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
        ) {
            let expires_at_ms = left.map(|left| run_at_ms + left);
            let options = TaskOptions {
                retries, backoff, run_at_ms, expires_at_ms, time_limit, result_expires,
                signature, priority: PRIORITIES[priority], unique, steps, extra,
            };
            prop_assert_eq!(TaskOptions::from_pairs(&options.to_pairs()), Ok(options));
        }

        #[test]
        fn any_pairs_are_options_or_an_error(key in "retry|backoff|run_at|steps|unique|x", value: String) {
            let _ = TaskOptions::from_pairs(&BTreeMap::from([(key, value)]));
        }

        #[test]
        fn an_exponential_pause_stays_below_its_bounds(retry: u32, random: u32) {
            let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(600));
            let pause = backoff.pause_ms(retry, random);
            prop_assert!(pause <= 600_000);
            prop_assert!(pause <= 1000_u64 << retry.min(10));
        }
    }

    #[test]
    fn a_delay_that_ends_after_the_expiry_is_refused() {
        let pairs = [("run_at", "20"), ("expires_at", "10")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert!(TaskOptions::from_pairs(&BTreeMap::from(pairs)).is_err());
    }

    #[test]
    fn steps_that_can_not_be_are_refused() {
        let step = |rest: &str| format!(r#"{{"group":"g","operation":"add"{rest}}}"#);
        let plain = step("");
        for (steps, expected) in [
            (
                plain.clone(),
                "is `1 steps`: expected a JSON array of 2 to 100 steps",
            ),
            (vec![plain.clone(); 101].join(","), "is `101 steps`"),
            (
                format!("{plain},{}", step(r#","x":1"#)),
                "unknown field `x`",
            ),
            (
                format!("{plain},{}", plain.replace("add", "")),
                "a step of the operation ``",
            ),
            (
                format!("{plain},{}", step(r#","options":{"run_at":"1"}"#)),
                "a step with the option `run_at`",
            ),
            (
                format!("{plain},{}", step(r#","options":{"retry":"x"}"#)),
                "a number of retries",
            ),
        ] {
            let pairs = BTreeMap::from([("steps".to_owned(), format!("[{steps}]"))]);
            let error = TaskOptions::from_pairs(&pairs).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
