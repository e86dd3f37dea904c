//! The wire format, sans-IO: bytes in, values out, and back.
//!
//! Nothing here knows a socket or a task, so that every decoder can be fuzzed
//! with bytes alone. `spec/wire.md` is the source of each number.

mod error;
mod extra;
mod frame;
mod limits;
mod marshal;
mod message;
mod operation;
mod raw;
mod unmarshal;

pub use error::{DecodeError, FrameError};
pub use extra::{Extra, reserved};
pub use frame::{
    COMPRESS_THRESHOLD, Compression, Deframer, FRAME_HEADER_SIZE, Frame, FrameHeader, VERSION,
    begin_frame, finish_frame,
};
pub use limits::Limits;
pub use marshal::{Marshal, Writer};
pub use message::{CallType, HEADER_SIZE, Header, MSGTYPE_RPC, Message, ROUTED};
pub use operation::Operation;
pub use raw::{PatchedExtra, Raw, RawExtra, RawMessage};
pub use unmarshal::{Reader, Unmarshal};
