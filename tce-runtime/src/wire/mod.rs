//! The wire format, sans-IO: bytes in, values out, and back.
//!
//! Nothing here does I/O, so that every decoder can be fuzzed with bytes alone.
//! `spec/wire.md` is the source of each number.

mod error;

mod value;

mod extra;

mod message;

mod frame;

pub(crate) use error::NOT_TCE;
pub use error::{DecodeError, FrameError, Limits};
pub use extra::{
    Decimal, Extra, ExtraPart, KeySet, PatchedExtra, RawExtra, escape_ascii, reserved,
    unescape_ascii,
};
pub(crate) use extra::{ExtraPairs, ForwardedExtra, parse_millis};
pub(crate) use frame::plain_header;
pub use frame::{
    COMPRESS_THRESHOLD, Compression, Deframer, FRAME_HEADER_SIZE, Frame, FrameHeader, VERSION,
    begin_frame, finish_frame,
};
pub use message::{
    BUILTIN_INTERFACE, CallType, HEADER_SIZE, Header, MSGTYPE_RPC, Message, Operation, ROUTED, Raw,
    RawMessage,
};
pub use value::{Marshal, Reader, Unmarshal, Writer};
