//! The code generated from `idl/sendmessage.idl` and the gateway's own IDL, and the server.

tce_runtime::include_idl!(sendmessage, gateway);

mod server;

pub use server::serve;
