//! What AMQP's methods are made of (AMQP 0-9-1, section 4.2.5).

/// What a broker said that AMQP has no meaning for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker does not speak AMQP 0-9-1: {0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// A name that has more than the 255 bytes for which AMQP has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has more than 255 bytes")]
pub(super) struct TooLong;

/// Takes values from the beginning of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl<'a> Octets<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(Malformed("a value is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("a value is cut off"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn octet(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn short(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn longlong(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A name of at most 255 bytes.
    pub(super) fn shortstr(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.cut_text()?;
        std::str::from_utf8(bytes).map_err(|_| Malformed("a name is not UTF-8"))
    }

    /// A text that may be none: its 255 bytes may have cut it within a character,
    /// and what strangers set as a property may be anything.
    pub(super) fn cut_text(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.octet()?;
        self.take(usize::from(size))
    }

    /// Bytes with their count before them; a table looks the same from outside.
    pub(super) fn longstr(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.long()?;
        self.take(usize::try_from(size).map_err(|_| Malformed("a value is cut off"))?)
    }
}

pub(super) fn put_short(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_long(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_longlong(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_shortstr(out: &mut Vec<u8>, text: &str) -> Result<(), TooLong> {
    out.push(u8::try_from(text.len()).map_err(|_| TooLong)?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// What `write` appends, with the count of its bytes before it.
pub(super) fn put_counted(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    let start = out.len();
    put_long(out, 0);
    write(out)?;
    let size = u32::try_from(out.len() - start - 4).map_err(|_| TooLong)?;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}
