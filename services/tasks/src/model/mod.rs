//! Tasks and their states, as pure code: no clock, no storage, no I/O.

mod status;

mod priority;

mod workflow;

mod options;

mod lifecycle;

pub use lifecycle::{
    AbortAnswer, Arrival, Begin, Entry, FinishAnswer, MAX_BODY, MAX_DEATHS, Phase, Refusal,
    parse_id,
};
pub use options::{Backoff, OptionError, TaskOptions};
pub use priority::Priority;
pub(crate) use priority::{PRIORITIES, Turns};
pub use status::Status;
pub use workflow::{MAX_STEPS, WorkflowStep};
