//! Exceptions of an IDL: how an error RETURN carries them (`spec/wire.md`, section 5).

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::wire::{
    Extra, Marshal, Reader, Unmarshal, Writer, escape_ascii, reserved, unescape_ascii,
};

/// An `exception` of an IDL. Generated code implements it.
pub trait Exception: Marshal + Unmarshal {
    /// The full name in the IDL: `module.Name`.
    const NAME: &'static str;

    /// The member that the text of the error shows: the first string; empty if there is
    /// none.
    fn detail(&self) -> &str {
        ""
    }
}

/// An exception with its members marshalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EncodedException {
    name: Cow<'static, str>,
    members: Vec<u8>,
}

impl EncodedException {
    pub(crate) fn of<E: Exception>(exception: &E) -> Self {
        let mut members = Vec::new();
        exception.marshal(&mut Writer::new(&mut members));
        Self {
            name: Cow::Borrowed(E::NAME),
            members,
        }
    }

    /// The exception in the extra of an error RETURN; `None` if there is none, or if its
    /// members are not base64.
    pub(crate) fn read(extra: &Extra) -> Option<Self> {
        let name = unescape_ascii(extra.get(reserved::EXCEPTION)?).into_owned();
        let members = extra.get(reserved::EXCEPTION_DATA).unwrap_or_default();
        Some(Self {
            name: Cow::Owned(name),
            members: BASE64.decode(members).ok()?,
        })
    }

    /// Adds the exception to the extra of an error RETURN.
    pub(crate) fn add_to(&self, extra: &mut Extra) {
        extra.set(reserved::EXCEPTION, escape_ascii(&self.name));
        extra.set(reserved::EXCEPTION_DATA, BASE64.encode(&self.members));
    }

    /// The full name in the IDL.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The members, marshalled.
    pub(crate) fn members(&self) -> &[u8] {
        &self.members
    }

    /// The exception, if it is one of this type and its members decode. As in
    /// parameters, bytes left over are ignored.
    pub(crate) fn decode<E: Exception>(&self) -> Option<E> {
        let members = (self.name == E::NAME).then(|| Reader::new(&self.members));
        E::unmarshal(&mut members?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorCode, Fault, wire::DecodeError};

    #[derive(Debug, PartialEq)]
    struct NotFound {
        key: String,
        code: i32,
    }

    impl Marshal for NotFound {
        fn marshal(&self, out: &mut Writer<'_>) {
            self.key.marshal(out);
            self.code.marshal(out);
        }
    }

    impl Unmarshal for NotFound {
        const MIN_SIZE: usize = 8;

        fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
            Ok(Self {
                key: String::unmarshal(input)?,
                code: i32::unmarshal(input)?,
            })
        }
    }

    impl Exception for NotFound {
        const NAME: &'static str = "shop.NotFound";

        fn detail(&self) -> &str {
            &self.key
        }
    }

    fn not_found() -> NotFound {
        NotFound {
            key: "é".to_owned(),
            code: -1,
        }
    }

    #[test]
    fn an_exception_comes_back_from_the_extra_in_ascii() {
        let mut extra = Extra::new();
        EncodedException::of(&not_found()).add_to(&mut extra);
        assert!(
            extra
                .iter()
                .all(|(key, value)| key.is_ascii() && value.is_ascii())
        );
        let read = EncodedException::read(&extra).unwrap();
        assert_eq!(read.name(), "shop.NotFound");
        assert_eq!(read.decode(), Some(not_found()));
    }

    #[test]
    fn data_that_is_no_exception_is_none() {
        let good = BASE64.encode([0, 0, 0, 0, 0, 0, 0, 1]);
        for (name, data) in [
            ("shop.NotFound", "?"),
            ("shop.NotFound", "AAAA A=="),
            ("shop.NotFound", "AAAAAA"),
            ("shop.NotFound", "AAAAAA=="),
            ("shop.NotFound", "/////////////w=="),
            ("shop.NotFound", ""),
            ("shop.Other", good.as_str()),
        ] {
            let extra = Extra::from_iter([
                (reserved::EXCEPTION, name),
                (reserved::EXCEPTION_DATA, data),
            ]);
            let decoded = EncodedException::read(&extra).and_then(|it| it.decode::<NotFound>());
            assert_eq!(decoded, None, "{name} {data}");
        }
        assert_eq!(EncodedException::read(&Extra::new()), None);
    }

    #[test]
    fn a_fault_has_the_name_and_the_detail_as_its_text() {
        let fault = Fault::raise(&not_found());
        assert_eq!(fault.text(), "shop.NotFound: é");
        assert_eq!(fault.code(), ErrorCode::RemoteException);
        assert_eq!(fault.exception(), Some(not_found()));
    }
}
