//! The result of a call as interceptors see it.

use crate::wire::{DecodeError, Extra, Marshal, Reader, Unmarshal, Writer};

/// The result of a call, still marshalled, and the extra of its RETURN.
///
/// ```
/// use tce_runtime::interceptor::Answer;
///
/// let answer = Answer::of("hello");
/// assert_eq!(answer.result::<String>()?, "hello");
/// # Ok::<(), tce_runtime::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    result: Vec<u8>,
    extra: Extra,
}

impl Answer {
    /// An answer with a result of the operation's type; `()` for `void`, and for a
    /// oneway call.
    #[must_use]
    pub fn of(result: impl Marshal) -> Self {
        let mut marshalled = Vec::new();
        result.marshal(&mut Writer::new(&mut marshalled));
        Self::of_marshalled(marshalled, Extra::new())
    }

    pub(crate) fn of_marshalled(result: Vec<u8>, extra: Extra) -> Self {
        Self { result, extra }
    }

    /// The result.
    ///
    /// # Errors
    /// It is of another type.
    pub fn result<T: Unmarshal>(&self) -> Result<T, DecodeError> {
        T::unmarshal(&mut Reader::new(&self.result))
    }

    /// The extra of the RETURN: what the servant has set with
    /// [`Context::return_extra`](crate::Context::return_extra).
    #[must_use]
    pub fn extra(&self) -> &Extra {
        &self.extra
    }

    /// The extra of the RETURN, to change it.
    pub fn extra_mut(&mut self) -> &mut Extra {
        &mut self.extra
    }

    pub(crate) fn into_parts(self) -> (Vec<u8>, Extra) {
        (self.result, self.extra)
    }
}
