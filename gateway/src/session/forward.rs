//! What goes through a session: calls out, RETURNs and pushes in.

use std::sync::atomic::Ordering;

use tce_runtime::{
    ErrorCode, ForwardError, InboundMessage,
    wire::{CallType, Header, PatchedExtra, ROUTED, reserved},
};

use super::{Session, calls::Call};
use crate::{
    metrics as metric,
    table::Way,
    upstream::{SERVER_GONE, Via},
};

/// The keys that no client sends to a server: each is the gateway's to set, or
/// meant for the gateway alone.
const NOT_FROM_CLIENTS: [&str; 5] = [
    reserved::TOKEN,
    reserved::DEVICE_ID,
    reserved::USER_ID,
    reserved::MQ_RETURN,
    reserved::ERROR,
];
/// The keys that tell a client nothing.
const NOT_FOR_CLIENTS: [&str; 4] = [
    reserved::TOKEN,
    reserved::DEVICE_ID,
    reserved::USER_ID,
    reserved::MQ_RETURN,
];

impl Session {
    /// Passes a CALL on to whoever its route names. False where it waits, and
    /// comes again.
    pub(super) fn pass_on(&self, passing: &mut InboundMessage<'_>, user: &str) -> bool {
        let ifidx = passing.message().header.ifidx;
        let table = self.core.table.load();
        let Some(way) = table.call(ifidx, self.endpoint) else {
            let text = format!("the gateway has no route for calls to interface {ifidx}");
            self.refuse(passing, ErrorCode::InterfaceNotFound, "no_route", &text);
            return true;
        };
        let backend = way.backend();
        if backend.is_crowded() && !self.lock().resumes {
            self.wait_for_room(passing, backend);
            return false;
        }
        let expected = backend.first_via(self.number);
        let header = self.enter(passing, way, expected);
        match self.send_on(passing, way, header, user) {
            Ok(Some(via)) if expected != Some(via) && !header.calltype.is_oneway() => {
                self.lock().calls.went(header.sequence, via);
                if backend.has_lost(via) {
                    // It may have gone before the call was known to be there.
                    self.fail_call(header.sequence, ErrorCode::ConnectionLost, SERVER_GONE);
                }
            }
            Ok(_) => {}
            Err(ForwardError::Full) => {
                self.take_call(header.sequence);
                self.wait_for_room(passing, backend);
                return false;
            }
            Err(error) => {
                self.take_call(header.sequence);
                way.meter().count_failure(ErrorCode::SendFailed);
                let text = format!("endpoint `{}`: {error}", backend.name());
                self.refuse(passing, ErrorCode::SendFailed, "not_sent", &text);
            }
        }
        way.meter().count_call();
        true
    }

    /// Enters a CALL among those under way, if somebody waits for its RETURN.
    /// Returns the header that it goes on with.
    fn enter(&self, passing: &InboundMessage<'_>, way: &Way, via: Option<Via>) -> Header {
        let of_client = passing.message().header;
        let mut header = of_client;
        header.call_id |= ROUTED;
        if !header.calltype.is_oneway() {
            header.sequence = self.core.next_sequence();
            let call = Call::new(&of_client, passing.read_at(), via, way.meter());
            let mut state = self.lock();
            state.calls.enter(header.sequence, call);
            if state.calls.len() >= self.core.properties.max_calls_in_flight {
                self.is_held.store(true, Ordering::Release);
            }
        }
        header
    }

    /// Sends a CALL to a backend, with who calls and where the RETURN goes.
    fn send_on(
        &self,
        passing: &mut InboundMessage<'_>,
        way: &Way,
        header: Header,
        user: &str,
    ) -> Result<Option<Via>, ForwardError> {
        let to_servers = [
            (reserved::USER_ID, user),
            (reserved::MQ_RETURN, way.returns_by()),
        ];
        let extra = PatchedExtra {
            of: passing.message().extra,
            without: &NOT_FROM_CLIENTS,
            with: if way.returns_by().is_empty() {
                &to_servers[..1]
            } else {
                &to_servers
            },
        };
        let time = self.core.properties.call_time;
        way.backend()
            .pass(self.number, passing, header, &extra, time)
    }

    /// Answers a CALL with an error; a oneway one is dropped.
    pub(super) fn refuse(
        &self,
        passing: &mut InboundMessage<'_>,
        code: ErrorCode,
        reason: &'static str,
        text: &str,
    ) {
        self.count_refused(passing.message().header, code, reason);
        passing.refuse(code, text);
    }

    /// Counts a CALL that is answered with an error, or dropped.
    pub(super) fn count_refused(&self, header: Header, code: ErrorCode, reason: &'static str) {
        if header.calltype.is_oneway() {
            return self.core.drops.count(reason);
        }
        self.traffic.refused.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(metric::CALLS_REFUSED, "code" => code.to_string(), "reason" => reason)
            .increment(1);
    }

    /// Passes a RETURN to the client; one that no call of its waits for is
    /// dropped.
    pub(crate) fn returned(&self, passing: &mut InboundMessage<'_>) {
        let message = passing.message();
        let Some(call) = self.take_call(message.header.sequence) else {
            return self.core.drops.count("late_return");
        };
        call.returned(message.header.errcode, passing.read_at());
        let header = Header {
            errcode: message.header.errcode,
            paramsize: message.header.paramsize,
            ..call.header.returning(0)
        };
        self.send(passing, header);
    }

    /// Passes a server's CALL to the client, oneway.
    pub(crate) fn push(&self, passing: &mut InboundMessage<'_>) {
        let mut header = passing.message().header;
        header.call_id &= !ROUTED;
        header.calltype = CallType::ONEWAY;
        self.traffic.pushes.fetch_add(1, Ordering::Relaxed);
        self.send(passing, header);
    }

    fn send(&self, passing: &mut InboundMessage<'_>, header: Header) {
        let Some(connection) = self.connection() else {
            return self.core.drops.count("client_gone");
        };
        let extra = PatchedExtra {
            of: passing.message().extra,
            without: &NOT_FOR_CLIENTS,
            with: &[],
        };
        match passing.pass(&connection, header, &extra, None) {
            Ok(()) => {
                let size = passing.payload().len() as u64;
                self.traffic.bytes_out.fetch_add(size, Ordering::Relaxed);
            }
            Err(ForwardError::Disconnected) => self.core.drops.count("client_gone"),
            Err(ForwardError::Full) if header.calltype.is_return() => {
                // It had its chance: its calls were not read any more.
                self.core.drops.count("slow_reader");
                self.end("slow_reader");
            }
            Err(ForwardError::Full) => self.core.drops.count("slow_reader"),
            Err(_) => {
                self.core.drops.count("too_large");
                if header.calltype.is_return() {
                    let text = "the answer is larger than the gateway may send";
                    connection.refuse(header, ErrorCode::SendFailed, text);
                }
            }
        }
    }
}
