//! An endpoint's reader: from the broker to the servants, or to who waits.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::FuturesUnordered};
use tokio::sync::watch;

use super::MessageQueues;
use crate::{
    connection::{Acks, IncomingCall, Origin, Reply, Servants, Served},
    stop::Stop,
    transport::mq::{Consumer, Delivery, batch},
    wire::{Extra, MSGTYPE_RPC, Message, reserved},
};

/// How often an ending reader looks whether its calls are done.
const DRAIN_EVERY: Duration = Duration::from_millis(5);

/// What an endpoint's reader works with.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) queues: Arc<MessageQueues>,
    /// The endpoint that is read.
    pub(super) endpoint: String,
    pub(super) servants: Arc<Servants>,
    pub(super) served: Served,
    pub(super) acks: Arc<Acks>,
}

impl Reader {
    /// Reads until the program ends.
    pub(super) async fn run(self, consumer: Consumer, stop: watch::Receiver<Stop>) {
        // A stream keeps a read that is under way when another branch wins.
        let mut deliveries = pin!(stream::unfold(consumer, |mut consumer| async {
            let delivery = consumer.next().await;
            Some((delivery, consumer))
        }));
        let mut acknowledging = FuturesUnordered::new();
        let mut is_draining = false;
        let mut stopped = stop.clone();
        loop {
            tokio::select! {
                biased;
                Some(()) = acknowledging.next() => {}
                acks = self.acks.take() => {
                    acknowledging.extend(acks.into_iter().map(crate::transport::mq::Ack::acknowledge));
                }
                _ = stopped.wait_for(|stop| *stop != Stop::Not), if !is_draining => is_draining = true,
                () = tokio::time::sleep(DRAIN_EVERY), if is_draining => {
                    let is_idle = self.served.count() == 0 && self.queues.calls().waiting() == 0;
                    let is_done = is_idle && acknowledging.is_empty();
                    if is_done || *stop.borrow() == Stop::Now {
                        return;
                    }
                }
                Some(delivery) = deliveries.next() => self.take(delivery, is_draining),
            }
        }
    }

    fn take(&self, delivery: Delivery, is_draining: bool) {
        let Delivery {
            body,
            expires_in,
            is_batch,
            is_redelivered,
            ack,
        } = delivery;
        let now = batch::unix_millis();
        let entries = if is_batch {
            batch::entries(&body).unwrap_or_default()
        } else {
            vec![batch::Entry {
                message: &body,
                expires_at: None,
            }]
        };
        let origins = Origin::of(
            entries.len().max(1),
            ack,
            &self.acks,
            &self.served,
            is_redelivered,
            expires_in,
        );
        if entries.is_empty() {
            self.dropped("undecodable", "an MQ message is no batch though it says so");
            origins.into_iter().for_each(Origin::finish);
            return;
        }
        for (entry, origin) in entries.into_iter().zip(origins) {
            if entry.expires_at.is_some_and(|at| at <= now) {
                self.dropped("expired", "a message of a batch came after its deadline");
                origin.finish();
            } else {
                self.handle(entry.message, origin, is_draining);
            }
        }
    }

    /// Handles one message. One that does not decode is dropped for good:
    /// delivered again, it would not decode any better.
    fn handle(&self, message: &[u8], origin: Origin, is_draining: bool) {
        let Message {
            header,
            extra,
            params,
        } = match Message::parse(message, self.queues.limits()) {
            Ok(message) if message.header.msgtype == MSGTYPE_RPC => message,
            Ok(_) => return self.drop_message("msgtype", "a message of a reserved type", origin),
            Err(error) => return self.drop_message("undecodable", &error.to_string(), origin),
        };
        if has_lingered(&extra) {
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
            // Not acknowledged, it goes back to the queue for another server.
            return;
        }
        let connection = self.queues.connection_back(
            extra.get(reserved::MQ_RETURN),
            &self.endpoint,
            &self.servants,
        );
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

    fn drop_message(&self, reason: &'static str, text: &str, origin: Origin) {
        self.dropped(reason, text);
        origin.finish();
    }

    fn dropped(&self, reason: &'static str, text: &str) {
        metrics::counter!("tce_messages_dropped_total", "reason" => reason).increment(1);
        tracing::warn!(
            endpoint = self.endpoint,
            reason,
            "dropped a message: {text}"
        );
    }
}

/// Whether a message's `__linger_time__` (Unix seconds) has passed.
fn has_lingered(extra: &Extra) -> bool {
    let Some(until) = extra
        .get(reserved::LINGER_TIME)
        .and_then(|text| text.trim().parse::<f64>().ok())
    else {
        return false;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    until < now.as_secs_f64()
}
