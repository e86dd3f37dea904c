//! What a servant knows of the call that it answers.

use std::sync::{Mutex, PoisonError};

use crate::{
    connection::Connection,
    wire::{Extra, Header, reserved},
};

/// The circumstances of one call.
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

    /// The context map that the caller sent along.
    #[must_use]
    pub fn extra(&self) -> &Extra {
        &self.extra
    }

    /// The connection on which the call came. A proxy on it calls the caller
    /// back, also long after this call has ended.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The user who called, as a gateway tells it (`__user_id__`).
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.extra.get(reserved::USER_ID)
    }

    /// Whether the caller waits for no RETURN.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.header.calltype.is_oneway()
    }

    /// Whether the call may have been executed before: its message queue
    /// delivers it again, since whoever took it first did not finish it.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// Sends a pair back beside the result (or nothing, where the call fails).
    pub fn return_extra(&self, key: impl AsRef<str>, value: impl AsRef<str>) {
        self.returned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set(key, value);
    }

    pub(crate) fn into_returned(self) -> Extra {
        self.returned
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
