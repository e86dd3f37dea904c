//! The limits of what a peer may send, and why bytes do not decode.

/// The limits that are checked before memory is allocated for a peer's bytes.
///
/// ```
/// use tce_runtime::wire::Limits;
///
/// let limits = Limits { max_frame: 1 << 20, ..Limits::default() };
/// assert_eq!(limits.max_inflated, 16 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame in bytes, magic excluded: the largest value of the
    /// `size` field (`spec/wire.md`, section 1). Default: 4 MiB.
    pub max_frame: usize,
    /// The largest payload in bytes after a zlib stream is inflated.
    /// Default: 16 MiB.
    pub max_inflated: usize,
    /// The most pairs in a message's `extra`. Default: 1,024.
    pub max_extra_entries: usize,
    /// The most bytes of a message's `extra`, as encoded. Default: 64 KiB.
    pub max_extra_bytes: usize,
    /// The deepest nesting of sequences and dictionaries in a parameter.
    /// Default: 64.
    pub max_depth: u16,
}

/// The default of [`Limits::max_depth`].
pub(super) const DEFAULT_DEPTH: u16 = 64;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: 4 << 20,
            max_inflated: 16 << 20,
            max_extra_entries: 1024,
            max_extra_bytes: 64 << 10,
            max_depth: DEFAULT_DEPTH,
        }
    }
}

/// Why a message or a parameter does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes are left than the type needs.
    #[error("{needed} bytes are needed, {left} are left")]
    Insufficient {
        /// The minimum number of bytes that the next value needs.
        needed: usize,
        /// The number of bytes left.
        left: usize,
    },
    /// A sequence or dictionary announces more elements than fit in the bytes
    /// that are left.
    #[error("{count} elements are announced, which do not fit in the {left} bytes left")]
    Count {
        /// The announced number of elements.
        count: usize,
        /// The number of bytes left.
        left: usize,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// Sequences and dictionaries nest deeper than [`Limits::max_depth`].
    #[error("values nest deeper than the limit")]
    Depth,
    /// The `extra` map is larger than [`Limits`] allow.
    #[error("the extra map has {what} {value}, more than the limit of {limit}")]
    Extra {
        /// What is too large.
        what: &'static str,
        /// Its size.
        value: usize,
        /// The limit.
        limit: usize,
    },
}

/// What a first byte that is none of TCE's means.
pub(crate) const NOT_TCE: &str = "the peer does not speak TCE, or the endpoint's type is wrong";

/// Why a byte stream can't be read any further. The connection has to be
/// closed: nothing tells where the next frame begins (`spec/wire.md`,
/// section 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The first four bytes are not TCE's.
    #[error("wrong magic {0:#010x}: {NOT_TCE}")]
    Magic(u32),
    /// The `size` field is too small for a frame with a payload.
    #[error("a frame announces the size {0}; the minimum with a payload is 11")]
    Empty(u32),
    /// The `size` field is larger than allowed.
    #[error("a frame announces {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The announced size in bytes.
        size: u32,
        /// [`Limits::max_frame`]
        limit: usize,
    },
    /// The `compress` field is neither none nor zlib.
    #[error("a frame has the unknown compression {0}")]
    Compression(u8),
    /// The `encrypt` field is not zero.
    #[error("a frame has the unknown encryption {0}")]
    Encryption(u8),
    /// The zlib stream is invalid or cut off.
    #[error("a frame's zlib stream does not inflate")]
    Inflate,
    /// The zlib stream inflates to more than allowed.
    #[error("a frame inflates to more than the limit of {limit} bytes")]
    Bomb {
        /// [`Limits::max_inflated`]
        limit: usize,
    },
}

impl FrameError {
    /// What sends such bytes, where their first four tell it.
    pub(crate) fn sender(&self) -> Option<&'static str> {
        let Self::Magic(magic) = self else {
            return None;
        };
        match &magic.to_be_bytes() {
            b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"PATC" | b"CONN"
            | b"PRI " => Some("an HTTP client"),
            b"HTTP" => Some("an HTTP server"),
            // A handshake record of TLS 1.0 to 1.3.
            [0x16, 3, ..] => Some("a TLS client, at an endpoint without TLS"),
            // A TLS alert: this side has sent something else than a handshake.
            [0x15, 3, ..] => Some("a TLS server, at an endpoint without TLS"),
            b"SSH-" => Some("an SSH program"),
            b"AMQP" => Some("an AMQP program"),
            b"PROX" => Some("a proxy that sends the PROXY protocol, which is switched off"),
            _ => None,
        }
    }
}
