//! The built-in interface, index 65535, that every adapter of ours serves.

use std::sync::Arc;

use crate::{
    connection::{BUILTIN_INTERFACE, IncomingCall, Servant},
    wire::Operation,
};

/// `void ping()`: says that the server is there.
pub(crate) const PING: Operation = Operation::new("tce::Builtin::ping", BUILTIN_INTERFACE, 0);

/// The servant of the built-in interface.
#[derive(Debug, Default)]
pub(crate) struct Builtin(Arc<()>);

impl Servant for Builtin {
    fn interfaces(&self) -> &'static [u16] {
        &[BUILTIN_INTERFACE]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        match call.opidx() {
            0 => call.run(&self.0, |_, (), context| async move { (context, Ok(())) }),
            _ => call.unknown_operation(),
        }
    }
}
