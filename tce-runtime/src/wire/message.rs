//! One message: a header, the extra map, the parameters (`spec/wire.md`,
//! section 2).

use super::{
    error::{DecodeError, Limits},
    extra::{Extra, KeySet, RawExtra, ReservedIndex},
    value::{Marshal, Reader, Writer},
};

/// The fixed part of a message in bytes; the extra map follows.
pub const HEADER_SIZE: usize = 17;
/// The only message type in use.
pub const MSGTYPE_RPC: u8 = 1;
/// The bit of `call_id` that a gateway sets: the RETURN has to repeat the
/// call's extra, by which the gateway routes it.
pub const ROUTED: u16 = 0x8000;
/// The index of the built-in interface, which every adapter serves.
pub const BUILTIN_INTERFACE: u16 = 65535;

/// The kind of a message, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallType(pub u8);

impl CallType {
    /// A twoway call, as this runtime sends it.
    pub const TWOWAY: Self = Self(0x01);
    /// A oneway call, as this runtime sends it.
    pub const ONEWAY: Self = Self(0x21);
    /// A return, as this runtime sends it.
    pub const RETURN: Self = Self(0x02);

    /// Whether the CALL bit is set.
    #[must_use]
    #[inline]
    pub fn is_call(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Whether the RETURN bit is set.
    #[must_use]
    #[inline]
    pub fn is_return(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// Whether the ONEWAY bit is set; no other bit decides it.
    #[must_use]
    #[inline]
    pub fn is_oneway(self) -> bool {
        self.0 & 0x20 != 0
    }
}

/// The fixed part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// [`MSGTYPE_RPC`]; others are reserved.
    pub msgtype: u8,
    /// Pairs a RETURN with its CALL.
    pub sequence: u32,
    /// CALL or RETURN, twoway or oneway.
    pub calltype: CallType,
    /// The interface index.
    pub ifidx: u16,
    /// The operation index within the interface.
    pub opidx: u16,
    /// 0 in a CALL; in a RETURN an error code of `spec/wire.md`, section 4.
    pub errcode: u32,
    /// The number of parameters; informal, ignored when received.
    pub paramsize: u8,
    /// 0 from a client; a gateway sets the top bit, [`ROUTED`].
    pub call_id: u16,
}

impl Header {
    /// The header of a CALL.
    #[must_use]
    pub fn call(calltype: CallType, sequence: u32, ifidx: u16, opidx: u16) -> Self {
        Self {
            msgtype: MSGTYPE_RPC,
            sequence,
            calltype,
            ifidx,
            opidx,
            errcode: 0,
            paramsize: 0,
            call_id: 0,
        }
    }

    /// The header of the RETURN to this CALL.
    #[must_use]
    #[inline]
    pub fn returning(self, errcode: u32) -> Self {
        Self {
            calltype: CallType::RETURN,
            errcode,
            paramsize: 0,
            ..self
        }
    }

    /// Whether the RETURN to this CALL has to repeat its extra.
    #[must_use]
    #[inline]
    pub fn is_routed(self) -> bool {
        self.call_id & ROUTED != 0
    }

    /// Appends the header's [`HEADER_SIZE`] bytes.
    #[inline]
    pub fn marshal(&self, out: &mut Writer<'_>) {
        out.put(&self.to_bytes());
    }

    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[0] = self.msgtype;
        bytes[1..5].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[5] = self.calltype.0;
        bytes[6..8].copy_from_slice(&self.ifidx.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.opidx.to_be_bytes());
        bytes[10..14].copy_from_slice(&self.errcode.to_be_bytes());
        bytes[14] = self.paramsize;
        bytes[15..17].copy_from_slice(&self.call_id.to_be_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`DecodeError::Insufficient`] where fewer than [`HEADER_SIZE`] bytes are
    /// left.
    #[inline]
    pub fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let b: [u8; HEADER_SIZE] = input.take_array()?;
        Ok(Self {
            msgtype: b[0],
            sequence: u32::from_be_bytes([b[1], b[2], b[3], b[4]]),
            calltype: CallType(b[5]),
            ifidx: u16::from_be_bytes([b[6], b[7]]),
            opidx: u16::from_be_bytes([b[8], b[9]]),
            errcode: u32::from_be_bytes([b[10], b[11], b[12], b[13]]),
            paramsize: b[14],
            call_id: u16::from_be_bytes([b[15], b[16]]),
        })
    }
}

/// A decoded message; its parameters stay marshalled.
///
/// ```
/// use tce_runtime::wire::{CallType, Extra, Header, Limits, Marshal, Message, Writer};
///
/// let header = Header::call(CallType::TWOWAY, 7, 2, 0);
/// let mut bytes = Vec::new();
/// let mut out = Writer::new(&mut bytes);
/// header.marshal(&mut out);
/// Extra::new().marshal(&mut out);
/// ("hello",).marshal(&mut out);
///
/// let message = Message::parse(&bytes, &Limits::default())?;
/// assert_eq!(message.header, header);
/// assert_eq!(message.params, b"\0\0\0\x05hello");
/// # Ok::<(), tce_runtime::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The fixed part.
    pub header: Header,
    /// The metadata.
    pub extra: Extra,
    /// The parameters of a CALL, the result of a RETURN.
    pub params: &'a [u8],
}

impl<'a> Message<'a> {
    /// Decodes a payload.
    ///
    /// # Errors
    /// Where the header is cut off, or the extra map does not decode or is too
    /// large.
    #[inline(always)]
    pub fn parse(payload: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut input = Reader::with_limits(payload, limits);
        let header = Header::unmarshal(&mut input)?;
        let extra = RawExtra::unmarshal(&mut input, limits)?;
        Ok(Self {
            header,
            extra: extra.into(),
            params: input.remaining(),
        })
    }
}

/// Bytes that are already marshalled.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a>(pub &'a [u8]);

impl Marshal for Raw<'_> {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put(self.0);
    }
}

/// A message whose extra and parameters are borrowed, undecoded.
#[derive(Debug, Clone, Copy)]
pub struct RawMessage<'a> {
    /// The fixed part.
    pub header: Header,
    /// The metadata.
    pub extra: RawExtra<'a>,
    /// The parameters of a CALL, the result of a RETURN.
    pub params: &'a [u8],
    index: ReservedIndex,
}

impl<'a> RawMessage<'a> {
    /// Splits a payload into its parts.
    ///
    /// # Errors
    /// Where the header is cut off, or the extra map does not decode or is too
    /// large.
    #[inline(always)]
    pub fn parse(payload: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut input = Reader::with_limits(payload, limits);
        let header = Header::unmarshal(&mut input)?;
        let (extra, index) = RawExtra::unmarshal_indexed(&mut input, limits)?;
        Ok(Self {
            header,
            extra,
            params: input.remaining(),
            index,
        })
    }

    /// The keys of the extra map.
    #[must_use]
    #[inline]
    pub fn keys(&self) -> KeySet {
        self.index.keys
    }

    /// The value of one reserved key as it was sent, which may not be UTF-8. Of a key
    /// that was sent twice the last value counts.
    #[must_use]
    #[inline]
    pub fn reserved(&self, key: KeySet) -> Option<&'a [u8]> {
        self.index.value(&self.extra, key)
    }

    /// As [`RawMessage::reserved`], if the value is UTF-8.
    #[must_use]
    #[inline]
    pub fn reserved_text(&self, key: KeySet) -> Option<&'a str> {
        std::str::from_utf8(self.reserved(key)?).ok()
    }
}

/// An operation of an interface, as a proxy calls it.
///
/// ```
/// use tce_runtime::wire::Operation;
///
/// const ECHO: Operation = Operation::new("test::Server::echo", 2, 0);
/// assert_eq!(ECHO.opidx(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    name: &'static str,
    ifidx: u16,
    opidx: u16,
    is_idempotent: bool,
}

impl Operation {
    /// An operation by its name in the IDL and its indices on the wire.
    #[must_use]
    pub const fn new(name: &'static str, ifidx: u16, opidx: u16) -> Self {
        Self {
            name,
            ifidx,
            opidx,
            is_idempotent: false,
        }
    }

    /// The same operation, marked `[idempotent]` in the IDL.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self {
            is_idempotent: true,
            ..self
        }
    }

    /// Whether the operation has the same effect when it runs twice, so that a call may be
    /// repeated that may have been executed.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        self.is_idempotent
    }

    /// The name in the IDL: `module::Interface::operation`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The interface index.
    #[must_use]
    pub const fn ifidx(&self) -> u16 {
        self.ifidx
    }

    /// The operation index within the interface.
    #[must_use]
    pub const fn opidx(&self) -> u16 {
        self.opidx
    }
}
