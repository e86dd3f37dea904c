//! A call's context map (`spec/wire.md`, sections 2 and 5).

use std::{fmt, sync::Arc};

use super::{DecodeError, Limits, Marshal, RawExtra, Reader, Writer};

/// The keys of [`Extra`] that have a meaning of their own
/// (`spec/wire.md`, section 5).
pub mod reserved {
    /// The credential by which a gateway knows the user; on a connection's
    /// first message.
    pub const TOKEN: &str = "__token__";
    /// The device, beside the token.
    pub const DEVICE_ID: &str = "__device_id__";
    /// Who called, or whom to reach.
    pub const USER_ID: &str = "__user_id__";
    /// The endpoint to which a RETURN goes.
    pub const MQ_RETURN: &str = "__mq_return__";
    /// Unix time in seconds after which a message is dropped unprocessed.
    pub const LINGER_TIME: &str = "__linger_time__";
    /// Text of an error, for the caller.
    pub const ERROR: &str = "__error__";
}

/// A map of strings that travels beside a call's parameters, in the order in
/// which it was sent. It is kept as it travels: a clone copies nothing.
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
    /// The pairs, marshalled; nothing where there is none.
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

    /// The map as it lies in a message.
    #[must_use]
    pub fn raw(&self) -> RawExtra<'_> {
        RawExtra::of_pairs(self.count, self.pairs.as_deref().unwrap_or_default())
    }

    /// The value of a key. Of a key that was sent twice it is the last, as in
    /// the maps of the existing implementations.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.raw().get(key)
    }

    /// Sets a key, in its old place if it has one; further pairs of that key
    /// are removed, so that no reader can see another value.
    pub fn set(&mut self, key: impl AsRef<str>, value: impl AsRef<str>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        let (mut count, mut is_set) = (0, false);
        for (name, old) in self.iter().chain([(key, value)]) {
            let is_it = name == key;
            if !(is_it && is_set) {
                name.marshal(&mut out);
                if is_it { value } else { old }.marshal(&mut out);
                count += 1;
            }
            is_set |= is_it;
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

    /// Reads a map within `limits`.
    ///
    /// # Errors
    /// Where the bytes hold none, or one that is larger than `limits` allow.
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
