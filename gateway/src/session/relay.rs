//! What a session does with what its connection brings.

use std::{pin::Pin, sync::atomic::Ordering};

use tce_runtime::{
    BUILTIN_INTERFACE, Connection, Disposition, ErrorCode, InboundMessage, MessageHandler,
    wire::Header,
};

use super::Session;

/// `ping` of the built-in interface.
const PING: u16 = 0;

impl MessageHandler for Session {
    fn handle(&self, passing: &mut InboundMessage<'_>) -> Disposition {
        if self.is_ending.load(Ordering::Acquire) {
            return Disposition::Handled;
        }
        let header = passing.message().header;
        let size = passing.payload().len() as u64;
        let user = {
            let mut state = self.lock();
            if !state.login.is_awaited() {
                state.heard_at = passing.read_at();
            }
            if !state.resumes {
                self.traffic.bytes_in.fetch_add(size, Ordering::Relaxed);
                if state.pace.is_over(passing.read_at()) {
                    self.is_held.store(true, Ordering::Release);
                }
            }
            state.login.user().cloned()
        };
        if !header.calltype.is_call() {
            // Only calls of the gateway's own can be answered by a client.
            return Disposition::Local;
        }
        let Some(user) = user else {
            // Whether somebody is there may be asked by anybody; what is served, not.
            return match (header.ifidx, header.opidx) {
                (BUILTIN_INTERFACE, PING) => Disposition::Local,
                _ => self.log_in(passing),
            };
        };
        let is_ours = passing.has_servant();
        if is_ours || self.pass_on(passing, &user) {
            self.traffic.calls.fetch_add(1, Ordering::Relaxed);
        }
        match is_ours {
            true => Disposition::LocalAs(user),
            false => Disposition::Handled,
        }
    }

    fn connected(&self, connection: &Connection) {
        // It is told once.
        let _ = self.connection.set(connection.downgrade());
        if let Some(this) = self.this.upgrade() {
            self.clients.join(this);
        }
        self.begin_login();
    }

    fn disconnected(&self, _connection: &Connection, reason: &str) {
        tracing::debug!(session = self.number, address = %self.address, "a client has gone: {reason}");
        let lost = self.lock().calls.take_where(|_| true);
        for call in &lost {
            call.meter.count_failure(ErrorCode::ConnectionLost);
        }
        self.log_out();
        self.clients.leave(self);
    }

    fn should_pause(&self) -> bool {
        self.is_held.load(Ordering::Acquire) || self.is_ending.load(Ordering::Acquire)
    }

    fn waits_for_capacity(&self) -> bool {
        true
    }

    fn until_resumed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.is_ending.load(Ordering::Acquire) {
                // The end of the connection ends this, too.
                return std::future::pending().await;
            }
            let changed = self.changed.notified();
            let free_at = {
                let state = self.lock();
                let has_room = state.calls.len() < self.core.properties.max_calls_in_flight;
                (has_room && state.kept == 0).then(|| state.pace.free_at())
            };
            match free_at {
                // Too fast: until it is not.
                Some(at) => {
                    tokio::time::sleep_until(at.into()).await;
                    self.is_held.store(false, Ordering::Release);
                }
                None => changed.await,
            }
        })
    }

    fn is_idle(&self) -> bool {
        Session::is_idle(self)
    }

    fn undelivered(&self, header: Header, code: ErrorCode, text: &str) {
        self.fail_call(header.sequence, code, text);
    }
}
