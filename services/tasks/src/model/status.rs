//! The status of a task.

use std::fmt;

/// Where a task is in its life. The numbers are stored and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Sent, and no attempt has begun.
    Sent,
    /// The first attempt runs.
    FirstRunning,
    /// An attempt has failed, and another one is queued.
    WaitingRetry,
    /// A later attempt runs.
    Running,
    /// The servant has returned.
    Success,
    /// No retries are left, a retry can't help, or the task is dead.
    Failure,
    /// An attempt would have begun after `expires_at`.
    Expired,
    /// Aborted before an attempt began, or by the task itself.
    Aborted,
}

const ALL: [Status; 8] = [
    Status::Sent,
    Status::FirstRunning,
    Status::WaitingRetry,
    Status::Running,
    Status::Success,
    Status::Failure,
    Status::Expired,
    Status::Aborted,
];

impl Status {
    /// The number, 0 to 7.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The status of a number; `None` above 7.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        ALL.get(usize::from(number)).copied()
    }

    /// Whether the status never changes.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.number() >= Self::Success.number()
    }

    /// Whether a reader has waited long enough: for the end if `finished`, else for the first
    /// attempt.
    pub(crate) fn ends_wait(self, finished: bool) -> bool {
        match finished {
            true => self.is_final(),
            false => self != Self::Sent,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sent => "sent",
            Self::FirstRunning => "first running",
            Self::WaitingRetry => "waiting retry",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Expired => "expired",
            Self::Aborted => "abort",
        })
    }
}
