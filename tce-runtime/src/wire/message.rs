//! One message: a header, the extra map, the parameters
//! (`spec/wire.md`, section 2).

use super::{DecodeError, Extra, Limits, RawMessage, Reader, Writer};

/// The fixed part of a message in bytes; the extra map follows.
pub const HEADER_SIZE: usize = 17;
/// The one message type in use.
pub const MSGTYPE_RPC: u8 = 1;
/// The bit of `call_id` that a gateway sets: the RETURN has to repeat the
/// call's extra, since it is routed by it.
pub const ROUTED: u16 = 0x8000;

/// What a message is: a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallType(pub u8);

impl CallType {
    /// A twoway call, as we send it.
    pub const TWOWAY: Self = Self(0x01);
    /// A oneway call, as we send it.
    pub const ONEWAY: Self = Self(0x21);
    /// A return, as we send it.
    pub const RETURN: Self = Self(0x02);

    /// Whether the CALL bit is set.
    #[must_use]
    pub fn is_call(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Whether the RETURN bit is set.
    #[must_use]
    pub fn is_return(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// Whether the ONEWAY bit is set: it alone makes a call oneway.
    #[must_use]
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
    /// CALL or RETURN, and how.
    pub calltype: CallType,
    /// The interface index.
    pub ifidx: u16,
    /// The operation index within the interface.
    pub opidx: u16,
    /// 0 in a CALL; in a RETURN a code of `spec/wire.md`, section 4.
    pub errcode: u32,
    /// The number of parameters; informal, ignored when received.
    pub paramsize: u8,
    /// 0 from a client; the top bit ([`ROUTED`]) from a gateway.
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
    pub fn is_routed(self) -> bool {
        self.call_id & ROUTED != 0
    }

    /// Appends the header's 17 bytes.
    pub fn marshal(&self, out: &mut Writer<'_>) {
        let mut bytes = [0; HEADER_SIZE];
        bytes[0] = self.msgtype;
        bytes[1..5].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[5] = self.calltype.0;
        bytes[6..8].copy_from_slice(&self.ifidx.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.opidx.to_be_bytes());
        bytes[10..14].copy_from_slice(&self.errcode.to_be_bytes());
        bytes[14] = self.paramsize;
        bytes[15..17].copy_from_slice(&self.call_id.to_be_bytes());
        out.put(&bytes);
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`DecodeError::Insufficient`] where fewer than 17 bytes are left.
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

/// A message that has been taken apart, its parameters still marshalled.
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
    /// The context map.
    pub extra: Extra,
    /// The parameters of a CALL, the result of a RETURN.
    pub params: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes a payload apart.
    ///
    /// # Errors
    /// Where the header is cut off or the extra map is broken or too large.
    pub fn parse(payload: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let raw = RawMessage::parse(payload, limits)?;
        Ok(Self {
            header: raw.header,
            extra: raw.extra.into(),
            params: raw.params,
        })
    }
}
