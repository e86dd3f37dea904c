//! The TCE runtime: what generated code and programs link.
//!
//! A call goes from the proxy through marshalling and a message to the
//! transport; at the peer from the transport to a message, dispatch and the
//! servant; its RETURN goes the same way back.
//!
//! | to | use |
//! | --- | --- |
//! | include what the build script has generated from an IDL | [`include_idl!`] |
//! | set options, and share them between connections and adapters | [`Communicator`], [`config::Options`] |
//! | call a server | the generated proxy and [`TypedProxy`], which all proxies have: `connect`, timeouts, extra |
//! | await a call, now or later | [`Pending`]; [`Oneway`] without an answer |
//! | see why a call failed, and whether a retry can help | [`RpcError`], [`ErrorCode`] |
//! | serve calls | [`Adapter`], and the generated `…Servant` around an implementation of the generated trait |
//! | know the caller of a served call, or call back | [`Context`] |
//! | tell the caller why an operation failed | [`Fault`] |
//! | call and serve over message queues | [`Communicator::open_mq`], [`config::MqConfig`]; [`MemoryBroker`] without a broker |
//! | call all programs behind a topic at once, and learn which did not answer | [`TypedMulti`], [`Adapter::join`] |
//! | log in at a gateway | [`config::Options::token`], [`config::TokenProvider`] |
//! | run code around each call: retries, limits, metrics, traces | [`interceptor`] |
//! | test servants, clients, and failures between them | [`testing`]; the generated `…Client` traits for doubles |
//! | serve on several cores | [`WorkerPool`] |
//! | end without losing calls | [`Communicator::wait_for_shutdown`], [`catch_termination`] |
//! | read and write the wire format | [`wire`] |
//!
//! The names of most programs are in the [`prelude`]. The user guide is in `docs/` of the
//! repository.
// Modules are listed in the order of their imports: each imports only from modules before
// it.

pub mod wire;

mod close_code;

mod advice;

mod exception;
mod error;

mod in_flight;

mod sequence_table;

mod log_limit;

pub mod trace;

pub mod interceptor;

mod memory;

mod roster;

mod pacing;

mod shutdown;

mod termination;

mod busy_poll;

mod worker_pool;

pub mod config;

mod transport;

mod connection;

mod mq;

mod communicator;

mod client;

mod server;

pub mod testing;

pub mod codegen;

pub use busy_poll::BusyPoll;
pub use client::{
    MultiCall, MultiProxy, Oneway, Pending, Proxy, Replies, Reply, Returned, TypedMulti, TypedProxy,
};
pub use close_code::CloseCode;
pub use communicator::Communicator;
pub use connection::{
    BUILTIN_INTERFACE, Connection, ConnectionEvent, Context, IncomingCall, Servant,
};
pub use error::{ErrorCode, Fault, RpcError, Side};
pub use exception::Exception;
pub use server::Adapter;
pub use termination::{catch_termination, termination_signal};
pub use transport::memory::MemoryBroker;
pub use wire::Extra;
pub use worker_pool::WorkerPool;

pub mod prelude {
    //! The names that most servers and clients need: `use tce_runtime::prelude::*`.

    pub use crate::{
        Adapter, Communicator, Context, ErrorCode, Fault, Pending, RpcError, TypedMulti, TypedProxy,
    };
}

/// What a gateway needs beside calls and servants: it decides about each message
/// of its connections, forwards most of them unread, and lets its own servants
/// act for a user.
///
/// [`MessageHandler`](forwarding::MessageHandler) is installed by
/// [`Communicator::connect_with_handler`], [`Adapter::handle_connections`] and
/// [`Adapter::handle_queues`]. This module is for `tce-gateway` and may change
/// with it.
#[doc(hidden)]
pub mod forwarding {
    pub use crate::{
        advice::{NO_QUEUE, NO_READER, NO_ROUTE, NO_SERVER, of_cause as advice_of_cause},
        client::new_push_id,
        connection::{
            AddedExtra, DESCRIBE, Disposition, ForwardError, InboundMessage, LOGIN, MessageHandler,
            PING, REFRESH, Undelivered, WeakConnection,
        },
        log_limit::LogLimit,
        memory::MemoryCharge,
        sequence_table::SequenceTable,
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
/// rarely calls every operation, and missing documentation, long parameter lists and
/// constants that are near to those of std, where the IDL has them. So the generated files need no `allow`.
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
            clippy::approx_constant,
            clippy::too_many_arguments,
            reason = "the IDL decides which items exist, their documentation, parameters and values"
        )]
        pub mod $module {
            include!(concat!(env!("OUT_DIR"), "/", $file, ".rs"));
        }
    };
}
