//! The present moment, and random bytes: what comes to the machine with each command.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::calendar::Moment;

/// The present moment, with what local time is ahead of UTC: that of the machine, or of TZ.
pub(super) fn now() -> Moment {
    let now = Timestamp::now();
    let offset = TimeZone::system().to_offset(now);
    Moment {
        unix: now.as_second(),
        offset: offset.seconds(),
    }
}

/// Fills bytes with random numbers of the system.
pub(super) fn fill_random(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            // Interrupted by a signal; nothing else can happen to a request this small.
            Err(error) => tracing::debug!("getrandom: {error}"),
        }
    }
}
