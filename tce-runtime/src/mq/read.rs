//! An endpoint's reader: from the broker to the servants, or to who waits.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::MessageQueues;
use crate::{
    connection::{
        Disposition, InFlightCounter, InboundMessage, IncomingCall, MessageHandler, Reply,
        ServantRegistry, WriteBatch,
    },
    stop::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::{
        batch::{self, Batch},
        broker::Consumer,
        delivery::{AckBatcher, AckGuard, Delivery, DeliveryTracker},
    },
    wire::{MSGTYPE_RPC, Message, RawMessage, reserved},
};

/// What an endpoint's reader works with.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) queues: Arc<MessageQueues>,
    /// The endpoint that is read.
    pub(super) endpoint: String,
    pub(super) servants: Arc<ServantRegistry>,
    /// Whether calls of ours are answered by this endpoint.
    pub(super) brings_returns: bool,
    /// The messages of this endpoint that are not done.
    pub(super) handling: InFlightCounter,
    pub(super) acks: Arc<AckBatcher>,
}

impl Reader {
    /// Reads until the program ends.
    pub(super) async fn run(self, mut consumer: Consumer, stop: watch::Receiver<ShutdownPhase>) {
        let (mut drain, mut now) = (stop.clone(), stop);
        tokio::select! {
            () = self.read(&mut consumer, &mut drain) => {}
            () = reached(&mut now, ShutdownPhase::Terminating) => {}
        }
    }

    /// Reads until the program ends and everything that was begun is done.
    async fn read(&self, consumer: &mut Consumer, drain: &mut watch::Receiver<ShutdownPhase>) {
        let (mut is_draining, mut is_open) = (false, true);
        loop {
            if is_draining && self.is_done(is_open) {
                // Whoever ended just now has left its acknowledgement.
                consumer.tell(&self.acks.take_ready());
                return consumer.close().await;
            }
            tokio::select! {
                biased;
                ready = self.acks.take() => consumer.tell(&ready),
                () = reached(drain, ShutdownPhase::Draining), if !is_draining => {
                    is_draining = true;
                    if !self.brings_returns {
                        consumer.cancel().await;
                    }
                }
                () = tokio::time::sleep(DRAIN_EVERY), if is_draining => {}
                delivery = consumer.next(), if is_open => match delivery {
                    Some(delivery) => self.take(&delivery, is_draining),
                    None => is_open = false,
                },
            }
        }
    }

    fn is_done(&self, is_open: bool) -> bool {
        let is_answered = if self.brings_returns {
            self.queues.calls().waiting() == 0
        } else {
            !is_open
        };
        is_answered && self.handling.count() == 0
    }

    fn take(&self, delivery: &Delivery, is_draining: bool) {
        let Delivery {
            ref body,
            expires_in,
            is_batch,
            ..
        } = *delivery;
        let batch = if is_batch { Batch::parse(body) } else { None };
        // What is passed on leaves when all of it has been looked at.
        let mut leaving = self.servants.handler().map(|_| WriteBatch::new());
        let count = batch.map_or(1, Batch::count);
        let whole = DeliveryTracker::of(count, delivery, &self.acks);
        let Some(batch) = batch else {
            let ack_guard = whole.ack_guard(&self.handling, expires_in);
            if is_batch {
                let text = "an MQ message is no batch though it says so";
                return self.drop_message("undecodable", text, ack_guard);
            }
            return self.handle(body, ack_guard, is_draining, &mut leaving);
        };
        let now = batch::unix_millis();
        for batch::Entry {
            message,
            expires_at,
        } in batch.entries()
        {
            let left = expires_at.map(|at| Duration::from_millis(at.saturating_sub(now)));
            let ack_guard = whole.ack_guard(&self.handling, left.or(expires_in));
            if left == Some(Duration::ZERO) {
                let text = "a message of a batch came after its deadline";
                self.drop_message("expired", text, ack_guard);
            } else {
                self.handle(message, ack_guard, is_draining, &mut leaving);
            }
        }
    }

    /// Handles one message. One that does not decode is dropped for good:
    /// delivered again, it would not decode any better.
    fn handle(
        &self,
        message: &[u8],
        ack_guard: AckGuard,
        is_draining: bool,
        leaving: &mut Option<WriteBatch>,
    ) {
        if let (Some(handler), Some(leaving)) = (self.servants.handler(), leaving)
            && self.pass_on(handler, message, &ack_guard, leaving) == Disposition::Handled
        {
            return ack_guard.finish();
        }
        let Message {
            header,
            extra,
            params,
        } = match Message::parse(message, self.queues.limits()) {
            Ok(message) if message.header.msgtype == MSGTYPE_RPC => message,
            Ok(_) => {
                return self.drop_message("msgtype", "a message of a reserved type", ack_guard);
            }
            Err(error) => return self.drop_message("undecodable", &error.to_string(), ack_guard),
        };
        if has_lingered(extra.get(reserved::LINGER_TIME)) {
            return self.drop_message(
                "lingered",
                "a message came after its __linger_time__",
                ack_guard,
            );
        }
        if header.calltype.is_return() {
            let reply = Reply {
                errcode: header.errcode,
                extra,
                result: Bytes::copy_from_slice(params),
            };
            if !self.queues.calls().complete(header.sequence, reply) {
                metrics::counter!("tce_messages_dropped_total", "reason" => "late_return")
                    .increment(1);
            }
            return ack_guard.finish();
        }
        if !header.calltype.is_call() {
            return self.drop_message(
                "calltype",
                "a message that is neither CALL nor RETURN",
                ack_guard,
            );
        }
        if is_draining {
            return ack_guard.give_back();
        }
        let connection = self.queues.connection_back(
            extra.get(reserved::MQ_RETURN),
            &self.endpoint,
            &self.servants,
        );
        // Until its RETURN is where it leaves from.
        let _serving = self.queues.served.begin();
        let mut reply = Vec::new();
        let expires_in = ack_guard.expires_in;
        let ack_guard = Some(Box::new(ack_guard));
        let call = IncomingCall {
            connection: &connection,
            header,
            extra,
            params,
            replies: &mut reply,
            ack_guard,
        };
        self.servants.dispatch(call);
        if !reply.is_empty() {
            connection.inner.push_return(reply, expires_in);
        }
    }

    /// Shows a message to the handler; one that makes no sense is none of its
    /// business.
    fn pass_on(
        &self,
        handler: &Arc<dyn MessageHandler>,
        payload: &[u8],
        ack_guard: &AckGuard,
        leaving: &mut WriteBatch,
    ) -> Disposition {
        let message = match RawMessage::parse(payload, self.queues.limits()) {
            Ok(message) if message.header.msgtype == MSGTYPE_RPC => message,
            _ => return Disposition::Local,
        };
        if has_lingered(message.extra.get(reserved::LINGER_TIME)) {
            return Disposition::Local;
        }
        handler.handle(&mut InboundMessage {
            message,
            payload,
            connection: None,
            handler,
            replies: &mut Vec::new(),
            leaving,
            is_redelivered: ack_guard.is_redelivered,
        })
    }

    fn drop_message(&self, reason: &'static str, text: &str, ack_guard: AckGuard) {
        metrics::counter!("tce_messages_dropped_total", "reason" => reason).increment(1);
        tracing::warn!(
            endpoint = self.endpoint,
            reason,
            "dropped a message: {text}"
        );
        ack_guard.finish();
    }
}

/// Whether a message's `__linger_time__` (Unix seconds) has passed.
fn has_lingered(until: Option<&str>) -> bool {
    let Some(until) = until.and_then(|text| text.trim().parse::<f64>().ok()) else {
        return false;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    until < now.as_secs_f64()
}
