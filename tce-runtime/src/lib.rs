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

pub use client::{Pending, Proxy, Returned, TypedProxy};
pub use communicator::Communicator;
pub use connection::{
    BUILTIN_INTERFACE, Connection, ConnectionEvent, Disposition, ForwardError, InboundMessage,
    IncomingCall, MessageHandler, Servant, WeakConnection,
};
pub use error::{ErrorCode, Fault, RpcError, Side};
pub use polling::BusyPoll;
pub use server::{Adapter, Context};
pub use transport::mq::MemoryBroker;
pub use wire::Extra;

pub mod prelude {
    //! The names that most servers and clients need: `use tce_runtime::prelude::*`.

    pub use crate::{
        Adapter, Communicator, Context, ErrorCode, Fault, Pending, RpcError, TypedProxy,
    };
}

/// Includes the code that `tce_codegen::configure().compile(…)` wrote in a build
/// script, one Rust module for each IDL module that is named. If a module's name is
/// no Rust name, both are given: `mixed_case = "MixedCase"`.
///
/// ```text
/// tce_runtime::include_idl!(test, zoo, r#type = "type");
/// use test::ServerPrx;
/// ```
///
/// The modules allow lints that depend on the IDL alone: dead code, as a program
/// rarely calls every operation, and missing documentation and long parameter
/// lists, where the IDL has them. So the generated files need no `allow`.
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
        #[allow(
            dead_code,
            missing_docs,
            clippy::too_many_arguments,
            reason = "the IDL decides which items exist, their documentation and their parameters"
        )]
        pub mod $module {
            include!(concat!(env!("OUT_DIR"), "/", $file, ".rs"));
        }
    };
}
