//! The TCE runtime: what generated code and programs link.
//!
//! A call goes one way: proxy, marshal, message, transport; there transport,
//! message, dispatch, servant; and its RETURN the same way back. The modules
//! stand in that order, and each uses only those before it.

pub mod wire;

pub mod config;
mod error;

mod polling;
mod stop;
mod transport;

mod connection;

mod mq;

mod communicator;

mod server;

mod client;

pub mod codegen;

pub use client::{Pending, Proxy, Returned};
pub use communicator::Communicator;
pub use connection::{
    BUILTIN_INTERFACE, Connection, ConnectionEvent, Disposition, ForwardError, InboundMessage,
    IncomingCall, MessageHandler, Servant, WeakConnection,
};
pub use error::{ErrorCode, Fault, RpcError, Side};
pub use polling::BusyPoll;
pub use server::{Adapter, Context};
pub use transport::memory::MemoryBroker;
pub use wire::Extra;

/// Includes what `tce_codegen::configure().compile(…)` wrote in a build script,
/// one Rust module for each IDL module that is named. A module whose name is
/// none in Rust gets another: `mixed_case = "MixedCase"`.
///
/// ```text
/// tce_runtime::include_idl!(test, zoo, r#type = "type");
/// use test::ServerPrx;
/// ```
#[macro_export]
macro_rules! include_idl {
    ($($module:ident $(= $file:literal)?),+ $(,)?) => { $(
        $crate::include_idl!(@module $module $($file)?);
    )+ };
    (@module $module:ident) => {
        $crate::include_idl!(@file $module, stringify!($module));
    };
    (@module $module:ident $file:literal) => {
        $crate::include_idl!(@file $module, $file);
    };
    (@file $module:ident, $file:expr) => {
        #[doc = concat!("Generated from the IDL module `", $file, "`.")]
        #[allow(dead_code, reason = "a program rarely calls every operation of its IDL")]
        pub mod $module {
            include!(concat!(env!("OUT_DIR"), "/", $file, ".rs"));
        }
    };
}
