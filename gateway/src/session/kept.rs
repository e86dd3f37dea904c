//! A message that waits, and all later ones of its client behind it.

use std::sync::{Arc, atomic::Ordering};

use tce_runtime::{Connection, ErrorCode, ForwardError, InboundMessage, wire::Header};
use tokio::time::timeout;

use super::Session;
use crate::upstream::Backend;

/// A message of a client that is handled later.
pub(super) struct Kept {
    connection: Connection,
    header: Header,
    payload: Vec<u8>,
}

impl Kept {
    pub(super) fn refuse(&self, code: ErrorCode, text: &str) {
        if !self.header.calltype.is_oneway() {
            self.connection.refuse(self.header, code, text);
        }
    }
}

impl Session {
    /// Keeps a message; nothing more is read from the client until
    /// [`Session::read_on`]. Nothing where the client has gone.
    pub(super) fn keep(&self, passing: &InboundMessage<'_>) -> Option<Kept> {
        let kept = Kept {
            connection: self.connection()?,
            header: passing.message().header,
            payload: passing.payload().to_vec(),
        };
        self.lock().kept += 1;
        self.is_held.store(true, Ordering::Release);
        Some(kept)
    }

    /// Handles a kept message as if it had come now.
    pub(super) fn resume(&self, kept: &Kept) {
        self.lock().resumes = true;
        kept.connection.resume(&kept.payload);
        self.lock().resumes = false;
    }

    /// A kept message is done with, or kept anew.
    pub(super) fn read_on(&self) {
        self.lock().kept -= 1;
        self.changed.notify_one();
    }

    /// Has a CALL wait until its backend takes it, for no longer than a call
    /// may take.
    pub(super) fn wait_for_room(&self, passing: &InboundMessage<'_>, backend: &Arc<Backend>) {
        let Some(kept) = self.keep(passing) else {
            return;
        };
        let (this, number) = (self.this.clone(), self.number);
        let (place, name) = (backend.queue_up(), backend.name().to_owned());
        let time = self.core.properties.call_time;
        tokio::spawn(async move {
            let turn = timeout(time, place.turn(number)).await.ok().flatten();
            let Some(session) = this.upgrade() else {
                return;
            };
            if turn.is_none() {
                let text = format!("endpoint `{name}`: {}", ForwardError::Full);
                kept.refuse(ErrorCode::SendFailed, &text);
                session.traffic.calls.fetch_add(1, Ordering::Relaxed);
                session.count_refused(kept.header, ErrorCode::SendFailed, "not_sent");
            } else if kept.connection.is_connected() {
                session.resume(&kept);
            }
            session.read_on();
        });
    }
}
