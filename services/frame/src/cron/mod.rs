//! Crontabs: one agent runs the jobs of each, and every tick at most once.

mod token;

mod lease;

mod run;

mod crontab;

pub(crate) use crontab::{Crontab, CrontabContext};
