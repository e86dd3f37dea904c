//! What comes again and again, without a timer of the runtime.
//!
//! While the runtime has a timer, each wait for the next message reads the
//! clock, sets a timer in the kernel and cancels it: about a fifteenth of what
//! a gateway adds to a call. Linux has files that become readable every so
//! often, and a file costs nothing while it is not.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Ticks; the first one comes at once, and those that were missed never.
pub(crate) enum Ticks {
    #[cfg(target_os = "linux")]
    File(file::Ticks),
    Timer(Interval),
}

impl Ticks {
    /// # Panics
    /// Outside of a runtime.
    pub(crate) fn every(period: Duration) -> Self {
        #[cfg(target_os = "linux")]
        match file::Ticks::every(period) {
            Ok(ticks) => return Self::File(ticks),
            Err(error) => tracing::debug!("timers of the runtime are used: {error}"),
        }
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Timer(ticks)
    }

    /// Waits for the next one.
    pub(crate) async fn tick(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::File(ticks) => ticks.tick().await,
            Self::Timer(ticks) => {
                ticks.tick().await;
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod file {
    use std::{future::pending, io, time::Duration};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

    /// To the runtime it is a pipe, which is read likewise.
    pub(crate) struct Ticks(Receiver);

    impl Ticks {
        pub(super) fn every(period: Duration) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let times = Itimerspec {
                it_interval: Timespec::try_from(period).map_err(io::Error::other)?,
                // At once: zero would be never.
                it_value: Timespec {
                    tv_sec: 0,
                    tv_nsec: 1,
                },
            };
            timerfd_settime(&file, TimerfdTimerFlags::empty(), &times)?;
            Ok(Self(Receiver::from_owned_fd_unchecked(file)?))
        }

        pub(super) async fn tick(&mut self) {
            // It is read as the number of ticks since it last was.
            if self.0.read_u64_le().await.is_err() {
                // The runtime ends; the file itself can't fail.
                pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_first_comes_at_once_and_the_others_when_they_are_due() {
        let period = Duration::from_millis(20);
        let mut ticks = Ticks::every(period);
        let began = Instant::now();
        for count in 0..3 {
            ticks.tick().await;
            assert!(began.elapsed() >= period * count);
        }
    }
}
