//! The extra map, a call's metadata (`spec/wire.md`, sections 2 and 5): owned,
//! borrowed from a message, or patched while a message is forwarded.

use std::{fmt, sync::Arc};

use super::{
    error::{DecodeError, Limits},
    value::{Marshal, Reader, Writer},
};

/// The keys of [`Extra`] that TCE itself uses (`spec/wire.md`, section 5).
pub mod reserved {
    /// The credential by which a gateway authenticates the user; sent in the
    /// first message of a connection.
    pub const TOKEN: &str = "__token__";
    /// The device id, sent together with the token.
    pub const DEVICE_ID: &str = "__device_id__";
    /// The user id of the caller, or in a push of the receiver.
    pub const USER_ID: &str = "__user_id__";
    /// The name of the endpoint to which the RETURN is sent.
    pub const MQ_RETURN: &str = "__mq_return__";
    /// Unix time in seconds after which a message is dropped unprocessed.
    pub const LINGER_TIME: &str = "__linger_time__";
    /// The text of an error, for the caller.
    pub const ERROR: &str = "__error__";
}

/// The metadata of a call: a map of strings beside the parameters, in the order
/// in which it was sent.
///
/// Pairs are stored marshalled and shared: a clone copies no pair.
///
/// ```
/// use tce_runtime::wire::Extra;
///
/// let mut extra = Extra::from_iter([("name", "scott.bo")]);
/// extra.set("name", "ann");
/// assert_eq!(extra.get("name"), Some("ann"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extra {
    count: usize,
    /// The pairs, marshalled; `None` for an empty map.
    pairs: Option<Arc<[u8]>>,
}

impl Extra {
    /// An empty map. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            pairs: None,
        }
    }

    /// The map as it is encoded in a message.
    #[must_use]
    pub fn raw(&self) -> RawExtra<'_> {
        RawExtra::of_pairs(self.count, self.pairs.as_deref().unwrap_or_default())
    }

    /// The value of `key`. Of a key that was sent twice the last value counts,
    /// as in the Java, C++ and JavaScript implementations.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.raw().get(key)
    }

    /// Sets `key`. A present key keeps its position in the order; duplicates of
    /// it are removed, so that every reader sees the same value.
    pub fn set(&mut self, key: impl AsRef<str>, value: impl AsRef<str>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        let (mut count, mut is_set) = (0, false);
        for (name, old) in self.iter().chain([(key, value)]) {
            let is_key = name == key;
            if !(is_key && is_set) {
                name.marshal(&mut out);
                if is_key { value } else { old }.marshal(&mut out);
                count += 1;
            }
            is_set |= is_key;
        }
        *self = Self {
            count,
            pairs: Some(bytes.into()),
        };
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.raw().iter()
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

    /// Reads a map.
    ///
    /// # Errors
    /// Where the bytes do not decode, or the map is larger than `limits` allow.
    pub fn unmarshal(input: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        Ok(RawExtra::unmarshal(input, limits)?.into())
    }
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Extra {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut extra = Self::new();
        extra.extend(pairs);
        extra
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extend<(K, V)> for Extra {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            self.set(key, value);
        }
    }
}

impl From<RawExtra<'_>> for Extra {
    fn from(raw: RawExtra<'_>) -> Self {
        Self {
            count: raw.len(),
            pairs: (!raw.is_empty()).then(|| raw.pairs().into()),
        }
    }
}

impl Marshal for Extra {
    fn marshal(&self, out: &mut Writer<'_>) {
        self.raw().marshal(out);
    }
}

/// An extra map borrowed from a message, checked against the limits.
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
    /// Reads a map without copying it.
    ///
    /// # Errors
    /// Where the bytes do not decode, or the map is larger than `limits` allow.
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

    /// A map of `count` pairs, which were validated or marshalled before.
    fn of_pairs(count: usize, pairs: &'a [u8]) -> Self {
        Self { count, pairs }
    }

    /// The pairs, marshalled, without their count.
    fn pairs(&self) -> &'a [u8] {
        self.pairs
    }

    /// The pairs, in order; a key may occur twice.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        self.entries()
            .map_while(move |(key, value)| Some((text(key)?, text(value)?)))
    }

    /// The pairs as bytes, which [`RawExtra::unmarshal`] has found to be UTF-8.
    fn entries(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut input = Reader::new(self.pairs);
        // `unmarshal` has read them once without an error.
        std::iter::from_fn(move || Some((input.take_text().ok()?, input.take_text().ok()?)))
    }

    /// The value of `key`; the last one of a key that was sent twice, as in
    /// [`Extra::get`].
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

/// An extra map with some pairs removed and some set, encoded without building
/// an [`Extra`].
#[derive(Debug, Clone, Copy)]
pub struct PatchedExtra<'a> {
    /// The original map.
    pub of: RawExtra<'a>,
    /// The keys that are removed.
    pub without: &'a [&'a str],
    /// The pairs that are set, each key once; they replace pairs of the original
    /// map with the same key.
    pub with: &'a [(&'a str, &'a str)],
}

impl PatchedExtra<'_> {
    fn kept(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let set = self.with.iter().map(|(key, _)| key);
        let removed = self.without.iter().chain(set);
        self.of
            .entries()
            .filter(move |(key, _)| !removed.clone().any(|removed| removed.as_bytes() == *key))
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
