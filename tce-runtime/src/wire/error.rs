//! What can be wrong with bytes.

/// Why a message or a parameter does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes are left than the type needs.
    #[error("{needed} bytes are needed and {left} are left")]
    Insufficient {
        /// How many bytes the next value needs at least.
        needed: usize,
        /// How many are left.
        left: usize,
    },
    /// A sequence or dictionary announces more elements than the bytes that
    /// are left could hold.
    #[error("{count} elements are announced and the {left} bytes that are left can't hold them")]
    Count {
        /// The announced number of elements.
        count: usize,
        /// How many bytes are left.
        left: usize,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// Sequences and dictionaries nest deeper than [`Limits::max_depth`](super::Limits::max_depth).
    #[error("values nest deeper than the limit")]
    Depth,
    /// The `extra` map is larger than [`Limits`](super::Limits) allow.
    #[error("the extra map has {what} {value}, more than the limit of {limit}")]
    Extra {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        value: usize,
        /// How large it may be.
        limit: usize,
    },
}

/// Why a byte stream can't be read on: the connection has to be closed, since
/// nothing tells where the next frame would begin (`spec/wire.md`, section 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The first four bytes are not TCE's.
    #[error("wrong magic {0:#010x}: the peer does not speak TCE, or the endpoint's type is wrong")]
    Magic(u32),
    /// The `size` field leaves no room for a payload.
    #[error("a frame announces the size {0}, and 10 or less has no payload")]
    Empty(u32),
    /// The `size` field is larger than allowed.
    #[error("a frame announces {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// What the frame announces.
        size: u32,
        /// [`Limits::max_frame`](super::Limits::max_frame)
        limit: usize,
    },
    /// The `compress` field is neither none nor zlib.
    #[error("a frame is compressed in a way that is not known ({0})")]
    Compression(u8),
    /// The `encrypt` field is not zero.
    #[error("a frame is encrypted in a way that is not known ({0})")]
    Encryption(u8),
    /// The zlib stream is broken or cut off.
    #[error("a frame's zlib stream does not inflate")]
    Inflate,
    /// The zlib stream inflates to more than allowed.
    #[error("a frame inflates to more than the limit of {limit} bytes")]
    Bomb {
        /// [`Limits::max_inflated`](super::Limits::max_inflated)
        limit: usize,
    },
}
