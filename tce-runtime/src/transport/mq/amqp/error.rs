//! What goes wrong at a broker.

use super::{
    answer::Reason,
    octets::{Malformed, TooLong},
};

/// AMQP's reply code for a queue that exists with other properties.
const PRECONDITION_FAILED: u16 = 406;
/// The one for arguments that make no sense.
const SYNTAX_ERROR: u16 = 502;

/// Why a request to a broker failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum AmqpError {
    /// The broker has something against it, which ends the channel alone.
    #[error("{text}")]
    Refused {
        /// AMQP's reply code.
        code: u16,
        /// What the broker says.
        text: String,
    },
    /// The connection, or the channel, is no more.
    #[error("{0}")]
    Lost(String),
}

impl AmqpError {
    pub(super) fn lost(text: &str) -> Self {
        Self::Lost(text.to_owned())
    }

    /// A channel of which nobody knows any more.
    pub(super) fn gone() -> Self {
        Self::lost("the channel is gone")
    }

    /// A channel that the broker has ended.
    pub(super) fn refused(reason: Reason<'_>) -> Self {
        Self::Refused {
            code: reason.code,
            text: String::from_utf8_lossy(reason.text).into_owned(),
        }
    }

    /// A connection that the broker has ended.
    pub(super) fn ended(reason: Reason<'_>) -> Self {
        Self::Lost(String::from_utf8_lossy(reason.text).into_owned())
    }

    pub(super) fn is_precondition_failed(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == PRECONDITION_FAILED)
    }
}

impl From<Malformed> for AmqpError {
    fn from(malformed: Malformed) -> Self {
        Self::Lost(malformed.to_string())
    }
}

impl From<TooLong> for AmqpError {
    fn from(too_long: TooLong) -> Self {
        Self::Refused {
            code: SYNTAX_ERROR,
            text: too_long.to_string(),
        }
    }
}
