//! Bytes to values (`spec/wire.md`, section 3).
//!
//! No count and no length is believed: what the bytes that are left can't hold
//! is an error before anything is allocated.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hash},
};

use super::{DecodeError, Limits};

/// How many elements a sequence allocates room for at once: more only when
/// that many have really come.
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
    /// A reader with the default nesting limit.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::with_limits(bytes, &Limits::default())
    }

    /// A reader with the nesting limit of `limits`.
    #[must_use]
    pub fn with_limits(bytes: &'a [u8], limits: &Limits) -> Self {
        Self {
            rest: bytes,
            depth_left: limits.max_depth,
        }
    }

    /// The bytes that are left.
    #[must_use]
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Insufficient`] where fewer are left.
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
    pub fn take_len(&mut self) -> Result<usize, DecodeError> {
        let len = u32::from_be_bytes(self.take_array()?);
        // Only a 16-bit machine could fail here; there, nothing so long exists.
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

    /// Takes a string's bytes, whatever they say.
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

    /// Reads what lies one level deeper.
    ///
    /// # Errors
    /// [`DecodeError::Depth`] where that is deeper than allowed, or what `read`
    /// says.
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
    /// The fewest bytes that a value of this type takes. A count is held
    /// against it before room is made for the elements.
    const MIN_SIZE: usize;

    /// Reads a value.
    ///
    /// # Errors
    /// Where the bytes do not hold one; `input` is then of no more use.
    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads the elements of a sequence whose count has been checked. A type
    /// whose elements lie in memory as on the wire does it in one copy.
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
        Ok(input.take_str()?.to_owned())
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

/// Nothing: no parameters, or what `void` returns.
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
