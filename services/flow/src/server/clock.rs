//! The present moment, which comes to the machine with each command.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::calendar::Moment;

/// The present moment, with what local time is ahead of UTC.
pub(super) fn now() -> Moment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let unix = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    Moment { unix, offset: 0 }
}
