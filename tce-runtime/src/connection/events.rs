//! What happens to a connection, for who wants to know.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
};

use super::Connection;

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// It is up: the first time, or again.
    Connected,
    /// It has ended; calls in flight have failed with CONNECTION_LOST.
    Disconnected {
        /// Why, in words.
        reason: String,
    },
}

type Listener = Arc<dyn Fn(&Connection, &ConnectionEvent) + Send + Sync>;

/// Who wants to know.
#[derive(Default)]
pub(crate) struct Listeners(RwLock<Vec<Listener>>);

impl Listeners {
    pub(crate) fn add(
        &self,
        listener: impl Fn(&Connection, &ConnectionEvent) + Send + Sync + 'static,
    ) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(listener));
    }

    /// Tells everyone. A listener may add others: they hear of the next event.
    pub(crate) fn tell(&self, connection: &Connection, event: &ConnectionEvent) {
        let listeners = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for listener in listeners {
            // A listener that panics has had its say in the panic hook; the
            // connection must not end by it.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(connection, event)));
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listeners")
    }
}
