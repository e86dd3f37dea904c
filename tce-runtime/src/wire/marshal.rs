//! Values to bytes (`spec/wire.md`, section 3).

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
};

/// Where marshalled bytes go: the end of a growing buffer.
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
    pub fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends a length or a count. One that does not fit 32 bits is
    /// remembered, and the message is refused when it is sent.
    pub fn put_len(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or_else(|_| {
            self.overflow = true;
            u32::MAX
        });
        self.put(&len.to_be_bytes());
    }

    /// Whether a length did not fit the wire's 32 bits: the bytes are useless.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflow
    }
}

/// A value that has a place on the wire.
pub trait Marshal {
    /// Appends the value's bytes.
    fn marshal(&self, out: &mut Writer<'_>);

    /// Appends the elements of a sequence, without the count. A type whose
    /// elements lie in memory as on the wire does it in one copy.
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

/// Nothing: no parameters, or what `void` returns.
impl Marshal for () {
    fn marshal(&self, _: &mut Writer<'_>) {}
}

macro_rules! marshal_tuples {
    ($(($($name:ident)+))*) => { $(
        /// An operation's parameters, one after another.
        impl<$($name: Marshal),+> Marshal for ($($name,)+) {
            fn marshal(&self, out: &mut Writer<'_>) {
                #[expect(non_snake_case, reason = "a tuple's parts are named after their types")]
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
