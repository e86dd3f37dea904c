//! The extra map, a call's metadata (`spec/wire.md`, sections 2 and 5): owned,
//! borrowed from a message, or patched while a message is forwarded.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

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
    /// The text of an error, for the caller, in [ASCII](super::escape_ascii).
    pub const ERROR: &str = "__error__";
    /// The full name of the exception that an error is, in
    /// [ASCII](super::escape_ascii).
    pub const EXCEPTION: &str = "__exception__";
    /// The marshalled members of that exception, in base64.
    pub const EXCEPTION_DATA: &str = "__exception_data__";
    /// Unix time in milliseconds after which the caller waits no longer: a CALL is
    /// dropped unexecuted.
    pub const DEADLINE: &str = "__deadline__";
    /// `1` on a CALL that its sender has published before.
    pub const REDELIVERED: &str = "__redelivered__";
    /// The [close code](crate::CloseCode) of a goodbye, decimal.
    pub const CLOSE: &str = "__close__";
    /// After how many whole seconds a login expires; in the RETURN of a login.
    pub const EXPIRES_IN: &str = "__expires_in__";
    /// Identifies a client's connection, in the events of a gateway.
    pub const CONNECTION_ID: &str = "__connection_id__";
    /// The address that a client has connected from, in the events of a gateway.
    pub const ADDRESS: &str = "__address__";
    /// Which interfaces clients can call at a gateway, `INDEX:NAME` separated by commas; in
    /// the RETURN of `describe`.
    pub const INTERFACES: &str = "__interfaces__";
    /// Why a client's connection has ended, in the events of a gateway.
    pub const REASON: &str = "__reason__";
    /// On a login: the last push that the client has handled, `epoch:offset`, or empty. The
    /// client wants pushes to be kept.
    pub const RESUME: &str = "__resume__";
    /// On a push that is kept: the sequence of pushes that it belongs to, 16 hex digits.
    pub const EPOCH: &str = "__epoch__";
    /// On a push that is kept: its number in the epoch, from 1, decimal.
    pub const OFFSET: &str = "__offset__";
    /// On a push that is sent to several gateways: identifies it, 16 hex digits, so that a
    /// client whose history two of them keep gets it once.
    pub const PUSH_ID: &str = "__push_id__";
    /// On the RETURN of a login: `1` if all pushes that were missed follow, else `0`.
    pub const RECOVERED: &str = "__recovered__";
    /// On a CALL to a topic: the ids of the programs that it is for, separated by commas.
    pub const TO: &str = "__to__";
    /// On a CALL to a topic: the ids of the programs that it is not for.
    pub const NOT_TO: &str = "__not_to__";
    /// On a RETURN from a topic: the id of the program that answers.
    pub const REPLIER: &str = "__replier__";
    /// On a RETURN from a topic: the ids of all programs there that the replier knows.
    pub const ROSTER: &str = "__roster__";
    /// The span that a call belongs to, by W3C Trace Context.
    pub const TRACEPARENT: &str = "traceparent";
    /// What tracing systems add to it.
    pub const TRACESTATE: &str = "tracestate";
}

/// A set of keys of extra: the reserved ones, and all others as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeySet(u16);

impl KeySet {
    /// `__token__`.
    pub const TOKEN: Self = Self(1);
    /// `__device_id__`.
    pub const DEVICE_ID: Self = Self(1 << 1);
    /// `__user_id__`.
    pub const USER_ID: Self = Self(1 << 2);
    /// `__mq_return__`.
    pub const MQ_RETURN: Self = Self(1 << 3);
    /// `__linger_time__`.
    pub const LINGER_TIME: Self = Self(1 << 4);
    /// `__error__`.
    pub const ERROR: Self = Self(1 << 5);
    /// `__deadline__`.
    pub const DEADLINE: Self = Self(1 << 6);
    /// `__redelivered__`.
    pub const REDELIVERED: Self = Self(1 << 7);
    /// `traceparent`.
    pub const TRACEPARENT: Self = Self(1 << 8);
    /// Those of a multi-call: `__to__`, `__not_to__`, `__replier__` and `__roster__`.
    pub const MULTI_CALL: Self = Self(1 << 9);
    /// All other keys.
    pub const OTHERS: Self = Self(1 << 10);

    /// The set that holds this key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self::of_bytes(key.as_bytes())
    }

    #[inline]
    fn of_bytes(key: &[u8]) -> Self {
        const KEYS: [(&str, KeySet); INDEXED_KEYS] = [
            (reserved::TOKEN, KeySet::TOKEN),
            (reserved::DEVICE_ID, KeySet::DEVICE_ID),
            (reserved::USER_ID, KeySet::USER_ID),
            (reserved::MQ_RETURN, KeySet::MQ_RETURN),
            (reserved::LINGER_TIME, KeySet::LINGER_TIME),
            (reserved::ERROR, KeySet::ERROR),
            (reserved::DEADLINE, KeySet::DEADLINE),
            (reserved::REDELIVERED, KeySet::REDELIVERED),
        ];
        if key.starts_with(b"__") {
            for (name, set) in KEYS {
                if key == name.as_bytes() {
                    return set;
                }
            }
            let of_multi_call = [
                reserved::TO,
                reserved::NOT_TO,
                reserved::REPLIER,
                reserved::ROSTER,
            ];
            if of_multi_call.iter().any(|name| key == name.as_bytes()) {
                return Self::MULTI_CALL;
            }
        } else if key == reserved::TRACEPARENT.as_bytes() {
            return Self::TRACEPARENT;
        }
        Self::OTHERS
    }

    /// The keys of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set holds all keys of another one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The keys whose values a message finds without a search: the first of a [`KeySet`].
const INDEXED_KEYS: usize = 8;

/// The metadata of a call: a map of strings beside the parameters, in the order
/// in which it was sent.
///
/// Pairs are stored marshalled and shared: a clone copies no pair.
///
/// Some TCE implementations send keys and values that are not UTF-8. They are
/// sent on unchanged; here they are read with each invalid sequence replaced by
/// U+FFFD, and [`Extra::get_bytes`] returns the original.
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
    /// The pairs as text, if they are not all UTF-8. A thin pointer: maps are moved
    /// with each call.
    lossy: Option<Arc<Vec<u8>>>,
}

impl Extra {
    /// An empty map. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            pairs: None,
            lossy: None,
        }
    }

    fn of_pairs(count: usize, pairs: Arc<[u8]>) -> Self {
        let raw = RawExtra::of_pairs(count, &pairs);
        let lossy = (!raw.is_utf8()).then(|| Arc::new(raw.lossy_pairs()));
        Self {
            count,
            pairs: Some(pairs),
            lossy,
        }
    }

    /// The map as it is encoded in a message.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> RawExtra<'_> {
        RawExtra::of_pairs(self.count, self.pairs.as_deref().unwrap_or_default())
    }

    /// The value of `key`. Of a key that was sent twice the last value counts,
    /// as in the Java, C++ and JavaScript implementations.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.text().get(key)
    }

    /// The value of `key` as it was sent, which may not be UTF-8.
    #[must_use]
    pub fn get_bytes(&self, key: &str) -> Option<&[u8]> {
        self.raw().get_bytes(key)
    }

    /// The key of the first pair that is not UTF-8, as far as it is.
    pub(crate) fn replaced_key(&self) -> Option<Cow<'_, str>> {
        self.lossy.as_ref()?;
        let mut entries = self.raw().entries();
        let (key, _) = entries.find(|entry| !is_utf8(entry))?;
        Some(String::from_utf8_lossy(key))
    }

    /// The pairs as text.
    fn text(&self) -> RawExtra<'_> {
        let lossy = self.lossy.as_deref().map(Vec::as_slice);
        let pairs = lossy.or(self.pairs.as_deref());
        RawExtra::of_pairs(self.count, pairs.unwrap_or_default())
    }

    /// Sets `key`. A present key keeps its position in the order; duplicates of
    /// it are removed, so that every reader sees the same value.
    pub fn set(&mut self, key: impl AsRef<str>, value: impl AsRef<str>) {
        let (key, value) = (key.as_ref().as_bytes(), value.as_ref().as_bytes());
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        let (mut count, mut is_set) = (0, false);
        for (name, old) in self.raw().entries().chain([(key, value)]) {
            let is_key = name == key;
            if !(is_key && is_set) {
                put_text(&mut out, name);
                put_text(&mut out, if is_key { value } else { old });
                count += 1;
            }
            is_set |= is_key;
        }
        *self = Self::of_pairs(count, bytes.into());
    }

    /// The pairs, in order. A key that was sent twice has its first place and its last
    /// value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let mut places = HashMap::new();
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(self.count);
        let entries = self.text().entries();
        for (key, value) in entries.map_while(|(key, value)| Some((text(key)?, text(value)?))) {
            let place = *places.entry(key).or_insert(pairs.len());
            match pairs.get_mut(place) {
                Some(pair) => pair.1 = value,
                None => pairs.push((key, value)),
            }
        }
        pairs.into_iter()
    }

    /// The number of pairs as sent: a key may be among them twice.
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
    #[inline]
    fn from(raw: RawExtra<'_>) -> Self {
        match raw.is_empty() {
            true => Self::new(),
            false => Self::of_pairs(raw.len(), raw.pairs().into()),
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
/// use tce_runtime::wire::{
///     Extra, ExtraPart, KeySet, Limits, Marshal, PatchedExtra, RawExtra, Reader, Writer,
/// };
///
/// let mut bytes = Vec::new();
/// Extra::from_iter([("name", "ann"), ("__user_id__", "root")]).marshal(&mut Writer::new(&mut bytes));
/// let raw = RawExtra::unmarshal(&mut Reader::new(&bytes), &Limits::default())?;
///
/// let patched = PatchedExtra {
///     of: raw,
///     without: KeySet::USER_ID,
///     with: &[ExtraPart::Pair("__user_id__", "u7")],
/// };
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
    #[inline]
    pub fn unmarshal(input: &mut Reader<'a>, limits: &Limits) -> Result<Self, DecodeError> {
        Self::unmarshal_with(input, limits, |_, _| {})
    }

    /// Reads a map, and finds its reserved keys.
    #[inline(always)]
    pub(super) fn unmarshal_indexed(
        input: &mut Reader<'a>,
        limits: &Limits,
    ) -> Result<(Self, ReservedIndex), DecodeError> {
        let mut index = ReservedIndex::default();
        let extra = Self::unmarshal_with(input, limits, |key, value| {
            index.add(KeySet::of_bytes(key), value);
        })?;
        Ok((extra, index))
    }

    /// Reads a map. `visit` gets each key, and the place of its value in the pairs.
    #[inline(always)]
    fn unmarshal_with(
        input: &mut Reader<'a>,
        limits: &Limits,
        mut visit: impl FnMut(&[u8], usize),
    ) -> Result<Self, DecodeError> {
        let count = input.take_len()?;
        if count == 0 {
            return Ok(Self::default());
        }
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
            let key = input.take_text()?;
            visit(key, pairs.len() - input.remaining().len());
            input.take_text()?;
            let value = LENGTH_SIZE + pairs.len() - input.remaining().len();
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
    #[inline]
    fn of_pairs(count: usize, pairs: &'a [u8]) -> Self {
        Self { count, pairs }
    }

    /// The pairs, marshalled, without their count.
    fn pairs(&self) -> &'a [u8] {
        self.pairs
    }

    /// The size of the encoded map in bytes.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        LENGTH_SIZE + self.pairs.len()
    }

    /// Appends the pairs, without their count.
    #[inline]
    pub(crate) fn append_pairs(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.pairs);
    }

    fn is_utf8(&self) -> bool {
        // In most maps all bytes are ASCII, those of the lengths too, which is found
        // many bytes at a time.
        self.pairs.is_ascii() || self.entries().all(|entry| is_utf8(&entry))
    }

    /// The pairs, marshalled, with what is not UTF-8 replaced.
    fn lossy_pairs(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        for text in self.entries().flat_map(|(key, value)| [key, value]) {
            String::from_utf8_lossy(text).as_ref().marshal(&mut out);
        }
        bytes
    }

    /// The pairs, in order; a key may occur twice.
    pub fn entries(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut input = Reader::new(self.pairs);
        // `unmarshal` has read them once without an error.
        std::iter::from_fn(move || Some((input.take_text().ok()?, input.take_text().ok()?)))
    }

    /// The value of `key`, if it is UTF-8; the last one of a key that was sent
    /// twice, as in [`Extra::get`].
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get_bytes(key)?).ok()
    }

    fn get_bytes(&self, key: &str) -> Option<&'a [u8]> {
        if self.pairs.is_empty() {
            return None;
        }
        let found = self.entries().filter(|(name, _)| *name == key.as_bytes());
        found.last().map(|(_, value)| value)
    }

    /// The number of pairs.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no pair.
    #[must_use]
    #[inline]
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

/// Where the values of reserved keys are in a [`RawExtra`], so that a gateway reads
/// the pairs of a message once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReservedIndex {
    /// The keys of the map.
    pub(super) keys: KeySet,
    /// By the position of the key in its [`KeySet`]: the place of the value in the
    /// pairs. Of a key that was sent twice the last one counts.
    values: [u32; INDEXED_KEYS],
}

impl ReservedIndex {
    fn add(&mut self, key: KeySet, value: usize) {
        self.keys = self.keys.union(key);
        // No message is that long.
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        if let Some(place) = self.values.get_mut(key.0.trailing_zeros() as usize) {
            *place = value;
        }
    }

    /// The value of one reserved key in the indexed map.
    #[inline]
    pub(super) fn value<'a>(&self, extra: &RawExtra<'a>, key: KeySet) -> Option<&'a [u8]> {
        if !self.keys.contains(key) {
            return None;
        }
        let place = *self.values.get(key.0.trailing_zeros() as usize)?;
        let value = extra.pairs.get(usize::try_from(place).ok()?..)?;
        Reader::new(value).take_text().ok()
    }
}

/// An extra map with some pairs removed and some added, encoded without building
/// an [`Extra`].
#[derive(Debug, Clone, Copy)]
pub struct PatchedExtra<'a> {
    /// The original map.
    pub of: RawExtra<'a>,
    /// The keys that are removed.
    pub without: KeySet,
    /// What is added. To replace a pair of the original map, its key has to be
    /// removed.
    pub with: &'a [ExtraPart<'a>],
}

/// Pairs that a [`PatchedExtra`] adds.
#[derive(Debug, Clone, Copy)]
pub enum ExtraPart<'a> {
    /// A key and its value.
    Pair(&'a str, &'a str),
    /// Pairs that are marshalled already.
    Pairs(RawExtra<'a>),
}

impl PatchedExtra<'_> {
    /// The number of pairs that are kept, which are appended to `out`.
    fn marshal_kept(&self, out: &mut Writer<'_>) -> usize {
        let mut count = 0;
        for (key, value) in self.of.entries() {
            if !self.without.contains(KeySet::of_bytes(key)) {
                put_text(out, key);
                put_text(out, value);
                count += 1;
            }
        }
        count
    }
}

/// The size of a marshalled length in bytes.
const LENGTH_SIZE: usize = 4;

impl Marshal for PatchedExtra<'_> {
    fn marshal(&self, out: &mut Writer<'_>) {
        let place = out.put_count();
        let mut count = self.marshal_kept(out);
        for part in self.with {
            match part {
                ExtraPart::Pair(key, value) => {
                    put_text(out, key.as_bytes());
                    put_text(out, value.as_bytes());
                    count += 1;
                }
                ExtraPart::Pairs(raw) => {
                    out.put(raw.pairs);
                    count += raw.count;
                }
            }
        }
        out.set_count(place, count);
    }
}

/// The extra map of a forwarded message: that of the message as it arrived, with some
/// pairs removed and some added. Most messages keep no pair of theirs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardedExtra<'a> {
    pub(crate) of: RawExtra<'a>,
    /// Keys that include all those of `of`.
    pub(crate) keys: KeySet,
    pub(crate) without: KeySet,
    pub(crate) added: RawExtra<'a>,
}

impl ForwardedExtra<'_> {
    /// Whether no pair of the original map is kept.
    #[inline]
    pub(crate) fn keeps_none(&self) -> bool {
        self.of.is_empty() || self.without.contains(self.keys)
    }

    /// The most bytes that the encoded map may have.
    #[inline]
    pub(crate) fn max_size(&self) -> usize {
        LENGTH_SIZE + self.of.pairs.len() + self.added.pairs.len()
    }
}

impl Marshal for ForwardedExtra<'_> {
    fn marshal(&self, out: &mut Writer<'_>) {
        let patched = PatchedExtra {
            of: self.of,
            without: self.without,
            with: &[ExtraPart::Pairs(self.added)],
        };
        patched.marshal(out);
    }
}

/// Pairs of extra that are put together for one message or several.
#[derive(Debug, Default)]
pub(crate) struct ExtraPairs {
    count: usize,
    pairs: Vec<u8>,
}

impl ExtraPairs {
    pub(crate) const fn new() -> Self {
        Self {
            count: 0,
            pairs: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.pairs.clear();
    }

    pub(crate) fn add(&mut self, extra: RawExtra<'_>) {
        self.count += extra.count;
        self.pairs.extend_from_slice(extra.pairs);
    }

    pub(crate) fn add_deadline(&mut self, unix_millis: u64) {
        let mut out = Writer::new(&mut self.pairs);
        put_text(&mut out, reserved::DEADLINE.as_bytes());
        put_text(&mut out, Decimal::new(unix_millis).as_str().as_bytes());
        self.count += 1;
    }

    #[inline]
    pub(crate) fn raw(&self) -> RawExtra<'_> {
        RawExtra::of_pairs(self.count, &self.pairs)
    }
}

fn put_text(out: &mut Writer<'_>, text: &[u8]) {
    out.put_len(text.len());
    out.put(text);
}

fn is_utf8((key, value): &(&[u8], &[u8])) -> bool {
    std::str::from_utf8(key).is_ok() && std::str::from_utf8(value).is_ok()
}

/// A number of milliseconds, as [`Decimal`] writes it, in a value of extra.
pub(crate) fn parse_millis(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let add = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

/// A number in decimal digits, for a value of extra, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    /// The digits of `number`.
    #[must_use]
    pub fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            // A remainder of 10 fits into a byte.
            digits[start] = b'0' + (number % 10).to_le_bytes()[0];
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// A text in ASCII, for peers that count the characters of extra as bytes
/// (`spec/wire.md`, section 5): each other character as `\uXXXX`, its UTF-16 code
/// units, as in JSON; and a backslash before `u` as `\u005c`.
///
/// ```
/// use tce_runtime::wire::{escape_ascii, unescape_ascii};
///
/// assert_eq!(escape_ascii("caf\u{e9} \\u \\n"), r"caf\u00e9 \u005cu \n");
/// assert_eq!(unescape_ascii(r"caf\u00e9 \u005cu \n"), "caf\u{e9} \\u \\n");
/// ```
#[must_use]
pub fn escape_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() * 2);
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        if char.is_ascii() && !(char == '\\' && rest.peek() == Some(&'u')) {
            escaped.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            escaped.push_str(ESCAPE);
            for shift in [12, 8, 4, 0] {
                let digit = char::from_digit(u32::from(*unit >> shift & 0xf), 16);
                escaped.extend(digit);
            }
        }
    }
    Cow::Owned(escaped)
}

/// The text that [`escape_ascii`] has escaped. What is not an escape stays as it
/// is; half of a surrogate pair becomes U+FFFD.
#[must_use]
pub fn unescape_ascii(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        if let Some((unit, behind)) = escaped_unit(rest) {
            units.push(unit);
            rest = behind;
        } else {
            unescaped.push_str(&String::from_utf16_lossy(&units));
            units.clear();
            unescaped.push(char);
            rest = &rest[char.len_utf8()..];
        }
    }
    unescaped.push_str(&String::from_utf16_lossy(&units));
    Cow::Owned(unescaped)
}

const ESCAPE: &str = "\\u";

/// The UTF-16 code unit that a text begins with, if it begins with an escape.
fn escaped_unit(text: &str) -> Option<(u16, &str)> {
    let (digits, behind) = text.strip_prefix(ESCAPE)?.split_at_checked(4)?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let unit = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    Some((unit, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_read_as_they_are_written() {
        for number in [0, 9, 1_764_489_600_123, u64::MAX] {
            let digits = Decimal::new(number);
            assert_eq!(parse_millis(digits.as_bytes()), Some(number));
        }
        assert_eq!(parse_millis(b" 12\t"), Some(12));
        for wrong in ["", " ", "-1", "1.5", "12a", "1 2", "18446744073709551616"] {
            assert_eq!(parse_millis(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
