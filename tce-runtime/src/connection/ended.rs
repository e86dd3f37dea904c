//! How a connection ends.

use std::{fmt, io, time::Duration};

use crate::wire::FrameError;

/// Why a connection has ended.
#[derive(Debug)]
pub(crate) enum CloseReason {
    /// The peer closed it.
    ByPeer,
    /// It was closed here.
    ByUs,
    /// The socket failed.
    Io(io::Error),
    /// The peer's bytes make no sense.
    Frame(FrameError),
    /// A frame began and did not end in time.
    SlowFrame(Duration),
    /// The peer has not read in time what waits for it.
    Stalled(Duration),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("closed by the peer"),
            Self::ByUs => f.write_str("closed on this side"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::SlowFrame(limit) => write!(f, "a frame was not complete after {limit:?}"),
            Self::Stalled(limit) => write!(f, "the peer read nothing for {limit:?}"),
        }
    }
}
