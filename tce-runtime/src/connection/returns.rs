//! What goes back to a caller.

use super::{IncomingCall, Inner, TooLarge};
use crate::{
    error::ErrorCode,
    wire::{Extra, Header, Marshal, reserved},
};

/// What a RETURN repeats of its CALL (`spec/wire.md`, section 2).
#[derive(Debug)]
pub(crate) struct Ticket {
    header: Header,
    /// The call's extra, where a gateway needs it to route the RETURN.
    routed: Extra,
}

impl Ticket {
    pub(crate) fn new(header: Header, extra: &Extra) -> Self {
        let routed = if header.is_routed() {
            extra.clone()
        } else {
            Extra::new()
        };
        Self { header, routed }
    }

    pub(crate) fn is_oneway(&self) -> bool {
        self.header.calltype.is_oneway()
    }

    /// Appends the RETURN with a result, and the pairs that the servant added.
    /// One that is too large becomes the error that says so.
    pub(crate) fn succeed(
        self,
        inner: &Inner,
        added: &Extra,
        result: impl Marshal,
        replies: &mut Vec<u8>,
    ) {
        if self.is_oneway() {
            return;
        }
        let extra = self.extra_with(added.iter());
        if let Err(error) = inner.encode(replies, self.header.returning(0), &extra, result) {
            self.fail(inner, ErrorCode::SendFailed, &error.to_string(), replies);
        }
    }

    /// Appends the RETURN with an error; of a oneway call nobody hears but the
    /// log.
    pub(crate) fn fail(self, inner: &Inner, code: ErrorCode, text: &str, replies: &mut Vec<u8>) {
        let Header { ifidx, opidx, .. } = self.header;
        if self.is_oneway() {
            metrics::counter!("tce_oneway_failed_total", "code" => code.to_string()).increment(1);
            tracing::warn!(peer = inner.peer, ifidx, opidx, %code, "a oneway call failed: {text}");
            return;
        }
        let extra = self.extra_with([(reserved::ERROR, text)].into_iter());
        let header = self.header.returning(code.to_wire());
        if let Err(TooLarge { .. }) = inner.encode(replies, header, &extra, ()) {
            // The text alone can be too long; the code never is.
            let _ = inner.encode(replies, header, &self.routed, ());
        }
    }

    fn extra_with<'a>(&self, added: impl Iterator<Item = (&'a str, &'a str)>) -> Extra {
        let mut extra = self.routed.clone();
        extra.extend(added);
        extra
    }
}

impl IncomingCall<'_> {
    /// Answers with an error.
    pub(crate) fn refuse(self, code: ErrorCode, text: &str) {
        Ticket::new(self.header, &self.extra).fail(
            &self.connection.inner,
            code,
            text,
            self.replies,
        );
    }

    /// Answers that the interface has no such operation
    /// (INTERFACE_NOTFOUND).
    pub fn unknown_operation(self) {
        let text = format!(
            "interface {} has no operation {} here",
            self.ifidx(),
            self.opidx()
        );
        self.refuse(ErrorCode::InterfaceNotFound, &text);
    }
}
