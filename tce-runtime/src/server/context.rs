//! The context of a call that a servant executes.

use std::sync::{Mutex, PoisonError};

use crate::{
    connection::Connection,
    wire::{Extra, Header, reserved},
};

/// The context of one call: who called, by which connection, with which extra.
#[derive(Debug)]
pub struct Context {
    connection: Connection,
    header: Header,
    extra: Extra,
    is_redelivered: bool,
    returned: Mutex<Extra>,
}

impl Context {
    pub(crate) fn new(
        connection: Connection,
        header: Header,
        extra: Extra,
        is_redelivered: bool,
    ) -> Self {
        Self {
            connection,
            header,
            extra,
            is_redelivered,
            returned: Mutex::new(Extra::new()),
        }
    }

    /// The entries that the caller sent with the call
    /// ([`with_extra`](crate::TypedProxy::with_extra)), and those of gateways.
    #[must_use]
    pub fn extra(&self) -> &Extra {
        &self.extra
    }

    /// The connection on which the call came. A proxy on it calls back, also after
    /// this call has ended: [`to_caller`](crate::TypedProxy::to_caller).
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The user who called, if the call came through a gateway (`__user_id__`).
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.extra.get(reserved::USER_ID)
    }

    /// Whether the call is oneway: the caller gets no RETURN.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.header.calltype.is_oneway()
    }

    /// Whether the call may have been executed before: its message queue delivered it
    /// to a server that did not acknowledge it.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// Sets an entry in the extra of the RETURN. A call that fails returns none.
    pub fn return_extra(&self, key: impl AsRef<str>, value: impl AsRef<str>) {
        self.returned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set(key, value);
    }

    /// Logs why the call failed, where the caller is not told.
    pub(super) fn log_internal_error(&self, cause: &str) {
        tracing::error!(
            peer = self.connection.peer(),
            interface = self.header.ifidx,
            operation = self.header.opidx,
            "a servant failed: {cause}"
        );
    }

    pub(crate) fn into_returned(self) -> Extra {
        self.returned
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
