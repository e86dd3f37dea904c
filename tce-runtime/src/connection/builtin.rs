//! The built-in interface, index 65535, that every adapter of ours serves.

use std::sync::{Arc, Weak};

use crate::{
    connection::{BUILTIN_INTERFACE, IncomingCall, Servant, ServantRegistry},
    wire::Operation,
};

/// `void ping()`: says that the server is there.
pub(crate) const PING: Operation = Operation::new("tce::Builtin::ping", BUILTIN_INTERFACE, 0);
/// `sequence<string> describe()`: what is served, as texts of IDL.
pub(crate) const DESCRIBE: Operation =
    Operation::new("tce::Builtin::describe", BUILTIN_INTERFACE, 1);

/// The servant of the built-in interface.
#[derive(Debug)]
pub(crate) struct Builtin {
    ping: Arc<()>,
    /// Those beside it; nothing where nobody shall know.
    servants: Option<Arc<Weak<ServantRegistry>>>,
}

impl Builtin {
    pub(crate) fn new(servants: &Arc<ServantRegistry>, describes: bool) -> Self {
        Self {
            ping: Arc::default(),
            servants: describes.then(|| Arc::new(Arc::downgrade(servants))),
        }
    }
}

impl Servant for Builtin {
    fn interfaces(&self) -> &[u16] {
        &[BUILTIN_INTERFACE]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        match (call.opidx(), &self.servants) {
            (0, _) => call.run(
                &self.ping,
                |_, (), context| async move { (context, Ok(())) },
            ),
            (1, Some(servants)) => call.run(servants, |servants, (), context| async move {
                let texts = servants.upgrade().map(|servants| servants.idls());
                (context, Ok(texts.unwrap_or_default()))
            }),
            _ => call.unknown_operation(),
        }
    }
}
