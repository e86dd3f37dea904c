//! The time that the records hold.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds; times before 1970 are 0.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The present Unix time in milliseconds.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(unix_ms(SystemTime::now())).unwrap_or(i64::MAX)
}
