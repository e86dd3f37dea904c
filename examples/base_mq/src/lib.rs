//! The code generated from `idl/test.idl`, the server's servant and the client's calls. The
//! programs open the queues.

tce_runtime::include_idl!(test);

mod client;
mod server;

pub use client::make_every_kind_of_call;
pub use server::ServerImpl;
