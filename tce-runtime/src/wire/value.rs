//! Values to bytes and back (`spec/wire.md`, section 3).
//!
//! Counts and lengths from a peer are checked against the bytes that are left
//! before anything is allocated.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hash},
};

use super::error::{DEFAULT_DEPTH, DecodeError, Limits};

/// The most elements that a sequence reserves memory for at once. A longer one
/// grows as its elements are read.
const MAX_RESERVE: usize = 4096;

/// Reads values from the front of a byte slice.
///
/// ```
/// use tce_runtime::wire::{Reader, Unmarshal};
///
/// let mut input = Reader::new(&[0, 0, 0, 2, b'h', b'i', 9]);
/// assert_eq!(String::unmarshal(&mut input)?, "hi");
/// assert_eq!(input.remaining(), [9]);
/// # Ok::<(), tce_runtime::wire::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    depth_left: u16,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes` with the default nesting limit.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            depth_left: DEFAULT_DEPTH,
        }
    }

    /// A reader of `bytes` with the nesting limit of `limits`.
    #[must_use]
    #[inline]
    pub fn with_limits(bytes: &'a [u8], limits: &Limits) -> Self {
        Self {
            rest: bytes,
            depth_left: limits.max_depth,
        }
    }

    /// The bytes that are left.
    #[must_use]
    #[inline]
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Insufficient`] where fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(DecodeError::Insufficient {
                needed: count,
                left: self.rest.len(),
            })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes a fixed number of bytes.
    ///
    /// # Errors
    /// [`DecodeError::Insufficient`] where fewer are left.
    #[inline]
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.rest
                .split_first_chunk::<N>()
                .ok_or(DecodeError::Insufficient {
                    needed: N,
                    left: self.rest.len(),
                })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes a length or a count.
    ///
    /// # Errors
    /// [`DecodeError::Insufficient`] where fewer than four bytes are left.
    #[inline]
    pub fn take_len(&mut self) -> Result<usize, DecodeError> {
        let len = u32::from_be_bytes(self.take_array()?);
        // Fails only where a `usize` has fewer than 32 bits; no input is that long there.
        usize::try_from(len).map_err(|_| DecodeError::Insufficient {
            needed: usize::MAX,
            left: self.rest.len(),
        })
    }

    /// Takes a string without copying it.
    ///
    /// # Errors
    /// [`DecodeError::Insufficient`] or [`DecodeError::Utf8`].
    pub fn take_str(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.take_text()?).map_err(|_| DecodeError::Utf8)
    }

    /// Takes a string's bytes without checking that they are UTF-8.
    #[inline]
    pub(super) fn take_text(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.take_len()?;
        self.take(len)
    }

    /// Takes the count of elements of at least `min_size` bytes each.
    fn take_count(&mut self, min_size: usize) -> Result<usize, DecodeError> {
        let count = self.take_len()?;
        match count.checked_mul(min_size) {
            Some(needed) if needed <= self.rest.len() => Ok(count),
            _ => Err(DecodeError::Count {
                count,
                left: self.rest.len(),
            }),
        }
    }

    /// Calls `read` one nesting level deeper.
    ///
    /// # Errors
    /// [`DecodeError::Depth`] where that level exceeds the limit, or the error
    /// of `read`.
    pub fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(DecodeError::Depth)?;
        let value = read(self);
        self.depth_left += 1;
        value
    }
}

/// A value that can be read from the wire.
pub trait Unmarshal: Sized {
    /// The minimum encoded size of a value in bytes. The count of a sequence is
    /// checked against it before memory is allocated.
    const MIN_SIZE: usize;

    /// Reads a value.
    ///
    /// # Errors
    /// Where the bytes do not decode; the position of `input` is then
    /// unspecified.
    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads the elements of a sequence whose count has been checked.
    /// Overridden for `u8`, whose elements are copied as one block.
    #[doc(hidden)]
    fn unmarshal_elements(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        let mut elements = Vec::with_capacity(count.min(MAX_RESERVE));
        for _ in 0..count {
            elements.push(Self::unmarshal(input)?);
        }
        Ok(elements)
    }
}

impl Unmarshal for u8 {
    const MIN_SIZE: usize = 1;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [byte] = input.take_array()?;
        Ok(byte)
    }

    fn unmarshal_elements(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        Ok(input.take(count)?.to_vec())
    }
}

impl Unmarshal for bool {
    const MIN_SIZE: usize = 1;

    /// Any byte but zero reads as true.
    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(u8::unmarshal(input)? != 0)
    }
}

macro_rules! unmarshal_numbers {
    ($($number:ty),*) => { $(
        impl Unmarshal for $number {
            const MIN_SIZE: usize = size_of::<$number>();

            fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(<$number>::from_be_bytes(input.take_array()?))
            }
        }
    )* };
}

unmarshal_numbers!(i16, i32, i64, f32, f64);

impl Unmarshal for String {
    const MIN_SIZE: usize = 4;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // A copy is aligned, which makes the check several times cheaper.
        String::from_utf8(input.take_text()?.to_vec()).map_err(|_| DecodeError::Utf8)
    }
}

impl<T: Unmarshal> Unmarshal for Vec<T> {
    const MIN_SIZE: usize = 4;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.take_count(T::MIN_SIZE)?;
        input.nested(|input| T::unmarshal_elements(count, input))
    }
}

impl<K: Unmarshal + Ord, V: Unmarshal> Unmarshal for BTreeMap<K, V> {
    const MIN_SIZE: usize = 4;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.take_count(K::MIN_SIZE + V::MIN_SIZE)?;
        input.nested(|input| {
            let mut entries = Self::new();
            for _ in 0..count {
                entries.insert(K::unmarshal(input)?, V::unmarshal(input)?);
            }
            Ok(entries)
        })
    }
}

impl<K, V, S> Unmarshal for HashMap<K, V, S>
where
    K: Unmarshal + Eq + Hash,
    V: Unmarshal,
    S: BuildHasher + Default,
{
    const MIN_SIZE: usize = 4;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.take_count(K::MIN_SIZE + V::MIN_SIZE)?;
        input.nested(|input| {
            let mut entries = Self::with_capacity_and_hasher(count.min(MAX_RESERVE), S::default());
            for _ in 0..count {
                entries.insert(K::unmarshal(input)?, V::unmarshal(input)?);
            }
            Ok(entries)
        })
    }
}

/// No parameters, or the result of a `void` operation.
impl Unmarshal for () {
    const MIN_SIZE: usize = 0;

    fn unmarshal(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

macro_rules! unmarshal_tuples {
    ($(($($name:ident)+))*) => { $(
        /// An operation's parameters, one after another.
        impl<$($name: Unmarshal),+> Unmarshal for ($($name,)+) {
            const MIN_SIZE: usize = 0 $(+ $name::MIN_SIZE)+;

            fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(($($name::unmarshal(input)?,)+))
            }
        }
    )* };
}

unmarshal_tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}

/// Appends marshalled values to a buffer.
///
/// ```
/// use tce_runtime::wire::{Marshal, Writer};
///
/// let mut bytes = Vec::new();
/// "hi".marshal(&mut Writer::new(&mut bytes));
/// assert_eq!(bytes, [0, 0, 0, 2, b'h', b'i']);
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    overflow: bool,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            overflow: false,
        }
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends a length or a count. One that does not fit in 32 bits sets
    /// [`Writer::overflowed`], and the message is refused when it is sent.
    #[inline]
    pub fn put_len(&mut self, len: usize) {
        let len = self.length(len);
        self.put(&len.to_be_bytes());
    }

    /// Appends a count that is not known yet; returns its place for
    /// [`Writer::set_count`].
    pub(super) fn put_count(&mut self) -> usize {
        let place = self.out.len();
        self.put(&[0; 4]);
        place
    }

    /// Sets the count at `place`.
    pub(super) fn set_count(&mut self, place: usize, count: usize) {
        let count = self.length(count);
        self.out[place..place + 4].copy_from_slice(&count.to_be_bytes());
    }

    fn length(&mut self, len: usize) -> u32 {
        u32::try_from(len).unwrap_or_else(|_| {
            self.overflow = true;
            u32::MAX
        })
    }

    /// Whether a length did not fit in the wire's 32 bits, which makes the
    /// written bytes invalid.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflow
    }
}

/// A value that can be written to the wire.
pub trait Marshal {
    /// Appends the value's bytes.
    fn marshal(&self, out: &mut Writer<'_>);

    /// Appends the elements of a sequence, without the count. Overridden for
    /// `u8`, whose elements are copied as one block.
    #[doc(hidden)]
    fn marshal_elements(elements: &[Self], out: &mut Writer<'_>)
    where
        Self: Sized,
    {
        for element in elements {
            element.marshal(out);
        }
    }
}

impl Marshal for u8 {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put(&[*self]);
    }

    fn marshal_elements(elements: &[Self], out: &mut Writer<'_>) {
        out.put(elements);
    }
}

impl Marshal for bool {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put(&[u8::from(*self)]);
    }
}

macro_rules! marshal_numbers {
    ($($number:ty),*) => { $(
        impl Marshal for $number {
            fn marshal(&self, out: &mut Writer<'_>) {
                out.put(&self.to_be_bytes());
            }
        }
    )* };
}

marshal_numbers!(i16, i32, i64, f32, f64);

impl Marshal for str {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put_len(self.len());
        out.put(self.as_bytes());
    }
}

impl Marshal for String {
    fn marshal(&self, out: &mut Writer<'_>) {
        self.as_str().marshal(out);
    }
}

impl<T: Marshal> Marshal for [T] {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put_len(self.len());
        T::marshal_elements(self, out);
    }
}

impl<T: Marshal> Marshal for Vec<T> {
    fn marshal(&self, out: &mut Writer<'_>) {
        self.as_slice().marshal(out);
    }
}

impl<K: Marshal, V: Marshal> Marshal for BTreeMap<K, V> {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put_len(self.len());
        for (key, value) in self {
            key.marshal(out);
            value.marshal(out);
        }
    }
}

impl<K: Marshal, V: Marshal, S: BuildHasher> Marshal for HashMap<K, V, S> {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put_len(self.len());
        for (key, value) in self {
            key.marshal(out);
            value.marshal(out);
        }
    }
}

impl<T: Marshal + ?Sized> Marshal for &T {
    fn marshal(&self, out: &mut Writer<'_>) {
        (**self).marshal(out);
    }
}

/// No parameters, or the result of a `void` operation.
impl Marshal for () {
    fn marshal(&self, _: &mut Writer<'_>) {}
}

macro_rules! marshal_tuples {
    ($(($($name:ident)+))*) => { $(
        /// An operation's parameters, one after another.
        impl<$($name: Marshal),+> Marshal for ($($name,)+) {
            fn marshal(&self, out: &mut Writer<'_>) {
                #[expect(non_snake_case, reason = "the fields of a tuple are named after their types")]
                let ($($name,)+) = self;
                $($name.marshal(out);)+
            }
        }
    )* };
}

marshal_tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}
