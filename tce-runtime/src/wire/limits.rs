//! What a peer may ask of our memory.

/// The limits that are checked before memory is taken for a peer's bytes.
///
/// ```
/// use tce_runtime::wire::Limits;
///
/// let limits = Limits { max_frame: 1 << 20, ..Limits::default() };
/// assert_eq!(limits.max_inflated, 16 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame in bytes, magic excluded: what the `size` field may
    /// say (`spec/wire.md`, section 1). 4 MiB unless set.
    pub max_frame: usize,
    /// The largest payload in bytes after a zlib stream is inflated. 16 MiB
    /// unless set.
    pub max_inflated: usize,
    /// The most pairs in a message's `extra`. 1,024 unless set.
    pub max_extra_entries: usize,
    /// The most bytes of a message's `extra`, as encoded. 64 KiB unless set.
    pub max_extra_bytes: usize,
    /// How deep sequences and dictionaries may nest in a parameter. 64 unless
    /// set.
    pub max_depth: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: 4 << 20,
            max_inflated: 16 << 20,
            max_extra_entries: 1024,
            max_extra_bytes: 64 << 10,
            max_depth: 64,
        }
    }
}
