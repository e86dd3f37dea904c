//! What goes back to a caller.

use std::time::{Duration, Instant};

use super::{
    AckGuard, Completion, FlushPolicy, IncomingCall, Inner, OutgoingMessage, PushError, TooLarge,
    after,
};
use crate::{
    error::ErrorCode,
    wire::{Extra, Header, Marshal, reserved},
};

/// The most bytes of an error's text that travel: far less than what a peer
/// takes as extra.
const MAX_ERROR_TEXT: usize = 8 << 10;

/// What a RETURN repeats of its CALL (`spec/wire.md`, section 2).
#[derive(Debug)]
pub(crate) struct ReplyContext {
    header: Header,
    /// The call's extra, where a gateway needs it to route the RETURN.
    routed: Extra,
    ack_guard: Option<Box<AckGuard>>,
}

impl ReplyContext {
    pub(crate) fn new(header: Header, extra: &Extra, ack_guard: Option<Box<AckGuard>>) -> Self {
        let routed = if header.is_routed() {
            extra.clone()
        } else {
            Extra::new()
        };
        Self {
            header,
            routed,
            ack_guard,
        }
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
        if !self.header.calltype.is_oneway() {
            let extra = self.extra_with(added.iter());
            if let Err(error) = inner.encode(replies, self.header.returning(0), &extra, result) {
                self.append_error(inner, ErrorCode::SendFailed, &error.to_string(), replies);
            }
        }
        self.finish();
    }

    /// Appends the RETURN with an error; of a oneway call nobody hears but the
    /// log.
    pub(crate) fn fail(self, inner: &Inner, code: ErrorCode, text: &str, replies: &mut Vec<u8>) {
        let Header { ifidx, opidx, .. } = self.header;
        if self.header.calltype.is_oneway() {
            metrics::counter!("tce_oneway_failed_total", "code" => code.to_string()).increment(1);
            tracing::warn!(peer = inner.peer, ifidx, opidx, %code, "a oneway call failed: {text}");
        } else {
            self.append_error(inner, code, text, replies);
        }
        self.finish();
    }

    fn append_error(&self, inner: &Inner, code: ErrorCode, text: &str, replies: &mut Vec<u8>) {
        append_error_with(inner, self.header, code, text, &self.routed, replies);
    }

    /// The servant is done: an MQ message may be acknowledged.
    fn finish(self) {
        if let Some(ack_guard) = self.ack_guard {
            ack_guard.finish();
        }
    }

    fn extra_with<'a>(&self, added: impl Iterator<Item = (&'a str, &'a str)>) -> Extra {
        let mut extra = self.routed.clone();
        extra.extend(added);
        extra
    }
}

/// Appends the RETURN with an error to a CALL that no gateway has passed on.
pub(super) fn append_error(
    inner: &Inner,
    header: Header,
    code: ErrorCode,
    text: &str,
    replies: &mut Vec<u8>,
) {
    append_error_with(inner, header, code, text, &Extra::new(), replies);
}

fn append_error_with(
    inner: &Inner,
    header: Header,
    code: ErrorCode,
    text: &str,
    routed: &Extra,
    replies: &mut Vec<u8>,
) {
    let mut extra = routed.clone();
    extra.set(reserved::ERROR, start_of(text));
    // 0 is success on the wire, whatever a servant takes it for.
    let errcode = match code.to_wire() {
        0 => ErrorCode::RemoteException.to_wire(),
        errcode => errcode,
    };
    let header = header.returning(errcode);
    if let Err(TooLarge { .. }) = inner.encode(replies, header, &extra, ()) {
        // The text alone can be too long; the code never is.
        let _ = inner.encode(replies, header, routed, ());
    }
}

/// As much of a text as may travel.
fn start_of(text: &str) -> &str {
    let mut end = text.len().min(MAX_ERROR_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl IncomingCall<'_> {
    /// Answers with an error.
    pub(crate) fn refuse(self, code: ErrorCode, text: &str) {
        ReplyContext::new(self.header, &self.extra, self.ack_guard).fail(
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

impl Inner {
    /// Sends a RETURN that was encoded on its own; waits for room on the
    /// stream that its call came by.
    pub(crate) async fn send_return(
        &self,
        mut reply: Vec<u8>,
        leave: FlushPolicy,
        generation: u64,
        expires_in: Option<Duration>,
    ) {
        while !reply.is_empty() {
            let sent = match &self.queue {
                Some(_) => return self.push_return(reply, expires_in),
                None => self.write_buffer.append_reply(generation, leave, &reply),
            };
            match sent {
                Ok(()) => reply.clear(),
                Err(PushError::Full) => self.write_buffer.capacity().await,
                Err(PushError::Disconnected) => return caller_gone(),
            }
        }
    }

    /// Hands a RETURN to the queue that the caller reads.
    pub(crate) fn push_return(&self, body: Vec<u8>, expires_in: Option<Duration>) {
        let Some(link) = &self.queue else {
            return caller_gone();
        };
        let message = OutgoingMessage {
            body,
            queue: link.queue.clone(),
            expires_at: expires_in.map(|left| after(Instant::now(), left)),
            completion: Completion::Unconfirmed,
        };
        if link.publish_queue.push_anyway(message).is_err() {
            caller_gone();
        }
    }
}

fn caller_gone() {
    metrics::counter!("tce_messages_dropped_total", "reason" => "caller_gone").increment(1);
}
