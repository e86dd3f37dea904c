//! Tasks and their states, as pure code: no clock, no storage, no I/O.

mod status;

mod options;

mod lifecycle;

pub use lifecycle::{
    AbortAnswer, Arrival, Begin, Entry, FinishAnswer, MAX_BODY, MAX_DEATHS, Phase, Refusal,
    parse_id,
};
pub use options::{Backoff, OptionError, TaskOptions};
pub use status::Status;
