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
        Acks, IncomingCall, Leaving, Origin, Parcel, Passing, Relay, Relayed, Reply, Servants,
        Served,
    },
    stop::{DRAIN_EVERY, Stop, reached},
    transport::mq::{
        Consumer, Delivery,
        batch::{self, Batch},
    },
    wire::{MSGTYPE_RPC, Message, RawMessage, reserved},
};

/// What an endpoint's reader works with.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) queues: Arc<MessageQueues>,
    /// The endpoint that is read.
    pub(super) endpoint: String,
    pub(super) servants: Arc<Servants>,
    /// Whether calls of ours are answered by this endpoint.
    pub(super) brings_returns: bool,
    /// The messages of this endpoint that are not done.
    pub(super) handling: Served,
    pub(super) acks: Arc<Acks>,
}

impl Reader {
    /// Reads until the program ends.
    pub(super) async fn run(self, mut consumer: Consumer, stop: watch::Receiver<Stop>) {
        let (mut drain, mut now) = (stop.clone(), stop);
        tokio::select! {
            () = self.read(&mut consumer, &mut drain) => {}
            () = reached(&mut now, Stop::Now) => {}
        }
    }

    /// Reads until the program ends and everything that was begun is done.
    async fn read(&self, consumer: &mut Consumer, drain: &mut watch::Receiver<Stop>) {
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
                () = reached(drain, Stop::Drain), if !is_draining => {
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
        let mut leaving = self.servants.relay().map(|_| Leaving::new());
        let count = batch.map_or(1, Batch::count);
        let whole = Parcel::of(count, delivery, &self.acks);
        let Some(batch) = batch else {
            let origin = whole.origin(&self.handling, expires_in);
            if is_batch {
                let text = "an MQ message is no batch though it says so";
                return self.drop_message("undecodable", text, origin);
            }
            return self.handle(body, origin, is_draining, &mut leaving);
        };
        let now = batch::unix_millis();
        for batch::Entry {
            message,
            expires_at,
        } in batch.entries()
        {
            let left = expires_at.map(|at| Duration::from_millis(at.saturating_sub(now)));
            let origin = whole.origin(&self.handling, left.or(expires_in));
            if left == Some(Duration::ZERO) {
                let text = "a message of a batch came after its deadline";
                self.drop_message("expired", text, origin);
            } else {
                self.handle(message, origin, is_draining, &mut leaving);
            }
        }
    }

    /// Handles one message. One that does not decode is dropped for good:
    /// delivered again, it would not decode any better.
    fn handle(
        &self,
        message: &[u8],
        origin: Origin,
        is_draining: bool,
        leaving: &mut Option<Leaving>,
    ) {
        if let (Some(relay), Some(leaving)) = (self.servants.relay(), leaving)
            && self.pass_on(relay, message, &origin, leaving) == Relayed::Taken
        {
            return origin.finish();
        }
        let Message {
            header,
            extra,
            params,
        } = match Message::parse(message, self.queues.limits()) {
            Ok(message) if message.header.msgtype == MSGTYPE_RPC => message,
            Ok(_) => return self.drop_message("msgtype", "a message of a reserved type", origin),
            Err(error) => return self.drop_message("undecodable", &error.to_string(), origin),
        };
        if has_lingered(extra.get(reserved::LINGER_TIME)) {
            return self.drop_message(
                "lingered",
                "a message came after its __linger_time__",
                origin,
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
            return origin.finish();
        }
        if !header.calltype.is_call() {
            return self.drop_message(
                "calltype",
                "a message that is neither CALL nor RETURN",
                origin,
            );
        }
        if is_draining {
            return origin.give_back();
        }
        let connection = self.queues.connection_back(
            extra.get(reserved::MQ_RETURN),
            &self.endpoint,
            &self.servants,
        );
        // Until its RETURN is where it leaves from.
        let _serving = self.queues.served.begin();
        let mut reply = Vec::new();
        let expires_in = origin.expires_in;
        let origin = Some(Box::new(origin));
        let call = IncomingCall {
            connection: &connection,
            header,
            extra,
            params,
            replies: &mut reply,
            origin,
        };
        self.servants.dispatch(call);
        if !reply.is_empty() {
            connection.inner.push_return(reply, expires_in);
        }
    }

    /// Shows a message to the relay; one that makes no sense is none of its
    /// business.
    fn pass_on(
        &self,
        relay: &Arc<dyn Relay>,
        payload: &[u8],
        origin: &Origin,
        leaving: &mut Leaving,
    ) -> Relayed {
        let message = match RawMessage::parse(payload, self.queues.limits()) {
            Ok(message) if message.header.msgtype == MSGTYPE_RPC => message,
            _ => return Relayed::Ours,
        };
        if has_lingered(message.extra.get(reserved::LINGER_TIME)) {
            return Relayed::Ours;
        }
        relay.relay(&mut Passing {
            message,
            payload,
            connection: None,
            relay,
            replies: &mut Vec::new(),
            leaving,
            is_redelivered: origin.is_redelivered,
        })
    }

    fn drop_message(&self, reason: &'static str, text: &str, origin: Origin) {
        metrics::counter!("tce_messages_dropped_total", "reason" => reason).increment(1);
        tracing::warn!(
            endpoint = self.endpoint,
            reason,
            "dropped a message: {text}"
        );
        origin.finish();
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
