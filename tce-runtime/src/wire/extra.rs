//! A call's context map (`spec/wire.md`, sections 2 and 5).

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
/// which it was sent.
///
/// ```
/// use tce_runtime::wire::Extra;
///
/// let mut extra = Extra::from_iter([("name", "scott.bo")]);
/// extra.set("name", "ann");
/// assert_eq!(extra.get("name"), Some("ann"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    pairs: Vec<(String, String)>,
}

impl Extra {
    /// An empty map. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// The value of a key. Of a key that was sent twice it is the last, as in
    /// the maps of the existing implementations.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// Sets a key, in its old place if it has one; further pairs of that key
    /// are removed, so that no reader can see another value.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let key = key.into();
        let mut value = Some(value.into());
        self.pairs.retain_mut(|(name, old)| {
            if *name != key {
                return true;
            }
            value.take().map(|new| *old = new).is_some()
        });
        if let Some(value) = value {
            self.pairs.push((key, value));
        }
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The map of these pairs, as they were sent: a key may come twice.
    pub(super) fn of_pairs(pairs: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            pairs: pairs.collect(),
        }
    }

    /// Reads a map within `limits`.
    ///
    /// # Errors
    /// Where the bytes hold none, or one that is larger than `limits` allow.
    pub fn unmarshal(input: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        Ok(RawExtra::unmarshal(input, limits)?.into())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Extra {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut extra = Self::new();
        extra.extend(pairs);
        extra
    }
}

impl<K: Into<String>, V: Into<String>> Extend<(K, V)> for Extra {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            self.set(key, value);
        }
    }
}

impl Marshal for Extra {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put_len(self.pairs.len());
        for (key, value) in &self.pairs {
            key.marshal(out);
            value.marshal(out);
        }
    }
}
