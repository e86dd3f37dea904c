//! The code generated from `idl/test.idl`, the server's servant and the client's calls. The
//! programs open the queues.

tce_runtime::include_idl!(test);

mod client;
mod server;

pub use client::call_in_every_way;
pub use server::ServerImpl;
