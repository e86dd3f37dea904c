//! How a call ended.

use std::sync::Arc;

use super::goodbye::Goodbye;
use crate::{error::ErrorCode, wire::Extra};

/// How a call ended.
#[derive(Debug)]
pub(crate) enum CallOutcome {
    /// Its RETURN.
    Returned(Reply),
    /// No RETURN until its deadline.
    TimedOut,
    /// The connection ended first, with this reason.
    Lost(Arc<LostReason>),
    /// It could not be sent, or its RETURN can't arrive.
    Failed(ErrorCode, String),
}

/// Why calls were lost.
#[derive(Debug)]
pub(crate) enum LostReason {
    /// The connection ended, or the result is gone.
    Ended(String),
    /// The peer has said why it closes the connection.
    Goodbye(Goodbye),
}

/// A RETURN, still marshalled.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) errcode: u32,
    pub(crate) extra: Extra,
    pub(crate) result: ReplyBody,
}

/// The marshalled result of a RETURN. A short one needs no allocation.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    Short { size: u8, bytes: [u8; SHORT_BODY] },
    Long(Box<[u8]>),
}

/// With it a [`ReplyBody`] has 40 bytes.
const SHORT_BODY: usize = 38;

impl From<&[u8]> for ReplyBody {
    fn from(body: &[u8]) -> Self {
        match u8::try_from(body.len()) {
            Ok(size) if body.len() <= SHORT_BODY => {
                let mut bytes = [0; SHORT_BODY];
                bytes[..body.len()].copy_from_slice(body);
                Self::Short { size, bytes }
            }
            _ => Self::Long(body.into()),
        }
    }
}

impl ReplyBody {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { size, bytes } => &bytes[..usize::from(*size)],
            Self::Long(bytes) => bytes,
        }
    }
}

/// The outcome of a call that is polled after its end.
pub(super) fn taken_before() -> CallOutcome {
    let text = "the result was taken before".to_owned();
    CallOutcome::Lost(Arc::new(LostReason::Ended(text)))
}
