//! Messages that are passed on: looked at where they lie, not taken apart.

use super::{DecodeError, Header, Limits, Marshal, Reader, Writer};

/// A context map as it lies in a message, checked against the limits.
///
/// ```
/// use tce_runtime::wire::{Extra, Limits, Marshal, PatchedExtra, RawExtra, Reader, Writer};
///
/// let mut bytes = Vec::new();
/// Extra::from_iter([("name", "ann"), ("__user_id__", "root")]).marshal(&mut Writer::new(&mut bytes));
/// let raw = RawExtra::unmarshal(&mut Reader::new(&bytes), &Limits::default())?;
///
/// let patched = PatchedExtra { of: raw, without: &[], with: &[("__user_id__", "u7")] };
/// let mut bytes = Vec::new();
/// patched.marshal(&mut Writer::new(&mut bytes));
/// let extra = Extra::unmarshal(&mut Reader::new(&bytes), &Limits::default())?;
/// assert_eq!(extra.iter().collect::<Vec<_>>(), [("name", "ann"), ("__user_id__", "u7")]);
/// # Ok::<(), tce_runtime::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct RawExtra<'a> {
    count: usize,
    pairs: &'a [u8],
}

impl<'a> RawExtra<'a> {
    /// Finds the end of a map, within `limits`.
    ///
    /// # Errors
    /// Where the bytes hold none, or one that is larger than `limits` allow.
    pub fn unmarshal(input: &mut Reader<'a>, limits: &Limits) -> Result<Self, DecodeError> {
        let start = input.remaining().len();
        let count = input.take_len()?;
        if count > limits.max_extra_entries {
            let limit = limits.max_extra_entries;
            return Err(DecodeError::Extra {
                what: "entries:",
                value: count,
                limit,
            });
        }
        let pairs = input.remaining();
        for _ in 0..count {
            input.take_str()?;
            input.take_str()?;
            let value = start - input.remaining().len();
            if value > limits.max_extra_bytes {
                return Err(DecodeError::Extra {
                    what: "bytes:",
                    value,
                    limit: limits.max_extra_bytes,
                });
            }
        }
        let size = pairs.len() - input.remaining().len();
        Ok(Self {
            count,
            pairs: &pairs[..size],
        })
    }

    /// A map of so many pairs, which were read or written before.
    pub(super) fn of_pairs(count: usize, pairs: &'a [u8]) -> Self {
        Self { count, pairs }
    }

    /// The pairs, marshalled, without their count.
    pub(super) fn pairs(&self) -> &'a [u8] {
        self.pairs
    }

    /// The pairs, in order; a key may come twice.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        self.entries()
            .map_while(move |(key, value)| Some((text(key)?, text(value)?)))
    }

    /// The same, without a look at what was found to be text before.
    fn entries(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut input = Reader::new(self.pairs);
        // They were read once: they can be read again.
        std::iter::from_fn(move || Some((input.take_text().ok()?, input.take_text().ok()?)))
    }

    /// The value of a key. Of a key that was sent twice it is the last, as in
    /// [`Extra::get`](super::Extra::get).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.entries().filter(|(name, _)| *name == key.as_bytes());
        let (_, value) = found.last()?;
        std::str::from_utf8(value).ok()
    }

    /// The number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Marshal for RawExtra<'_> {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put_len(self.count);
        out.put(self.pairs);
    }
}

/// A map that is another's with some pairs taken out and some set.
#[derive(Debug, Clone, Copy)]
pub struct PatchedExtra<'a> {
    /// The other.
    pub of: RawExtra<'a>,
    /// The keys that are taken out.
    pub without: &'a [&'a str],
    /// The pairs that are set over whatever the other has, once each.
    pub with: &'a [(&'a str, &'a str)],
}

impl PatchedExtra<'_> {
    fn kept(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let set = self.with.iter().map(|(key, _)| key);
        let gone = self.without.iter().chain(set);
        self.of
            .entries()
            .filter(move |(key, _)| !gone.clone().any(|gone| gone.as_bytes() == *key))
    }
}

impl Marshal for PatchedExtra<'_> {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put_len(self.kept().count() + self.with.len());
        for text in self.kept().flat_map(|(key, value)| [key, value]) {
            out.put_len(text.len());
            out.put(text);
        }
        for (key, value) in self.with {
            key.marshal(out);
            value.marshal(out);
        }
    }
}

/// Bytes that are marshalled already.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a>(pub &'a [u8]);

impl Marshal for Raw<'_> {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put(self.0);
    }
}

/// A message whose extra and parameters are still where it came.
#[derive(Debug, Clone, Copy)]
pub struct RawMessage<'a> {
    /// The fixed part.
    pub header: Header,
    /// The context map.
    pub extra: RawExtra<'a>,
    /// The parameters of a CALL, the result of a RETURN.
    pub params: &'a [u8],
}

impl<'a> RawMessage<'a> {
    /// Finds the parts of a payload.
    ///
    /// # Errors
    /// Where the header is cut off or the extra map is broken or too large.
    pub fn parse(payload: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut input = Reader::with_limits(payload, limits);
        let header = Header::unmarshal(&mut input)?;
        let extra = RawExtra::unmarshal(&mut input, limits)?;
        Ok(Self {
            header,
            extra,
            params: input.remaining(),
        })
    }
}
