//! Consumers that RabbitMQ carries over from a deleted queue to a new one.
//!
//! A channel whose queue is deleted may find a queue of the same name in its place,
//! which another program has declared since. It then consumes that one, says nothing
//! about it, and ignores what is acknowledged there: once the prefetch is used up,
//! nothing comes any more. A classic queue cancels the consumer instead if its
//! arguments say so; a quorum queue refuses that argument.

use std::{pin::Pin, sync::Arc, time::Duration};

use lapin::{
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::connection::{ATTEMPT_TIME, AmqpError, BrokerConnection, PRECONDITION_FAILED};

/// The argument of a consumer that is not to be carried over.
const ARGUMENT: &str = "x-cancel-on-ha-failover";
/// How often a consumer is looked at that may be carried over.
const PERIOD: Duration = Duration::from_secs(3);

/// The arguments of a consumer that is not to be carried over.
pub(super) fn refusal() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(ARGUMENT.into(), AMQPValue::Boolean(true));
    arguments
}

/// Whether the queue does not know the argument.
pub(super) fn is_unknown(error: &AmqpError) -> bool {
    matches!(error, AmqpError::Refused { code, text }
        if *code == PRECONDITION_FAILED && text.contains(ARGUMENT))
}

/// Finds that a consumer was carried over: messages wait in its queue, and it
/// receives none though it has settled all.
pub(super) struct CarryOverWatch {
    connection: Arc<BrokerConnection>,
    queue: ShortString,
    timer: Interval,
    /// The number of the last delivery when the timer last ticked.
    seen: u64,
    /// Whether messages waited when it was last asked. Once may be a message that is
    /// just being delivered.
    was_waiting: bool,
    /// Finds out whether messages wait.
    asking: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

impl CarryOverWatch {
    pub(super) fn new(connection: &Arc<BrokerConnection>, queue: &ShortString) -> Self {
        let mut timer = interval_at(Instant::now() + PERIOD, PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            connection: Arc::clone(connection),
            queue: queue.clone(),
            timer,
            seen: 0,
            was_waiting: false,
            asking: None,
        }
    }

    /// Waits until the consumer turns out to be carried over. `last` is the number of
    /// its last delivery; `None` while the broker has a reason to send no more. It may
    /// be dropped and called again.
    pub(super) async fn found(&mut self, last: Option<u64>) {
        loop {
            if let Some(asking) = &mut self.asking {
                let is_waiting = asking.await && last == Some(self.seen);
                self.asking = None;
                if std::mem::replace(&mut self.was_waiting, is_waiting) && is_waiting {
                    return;
                }
            }
            self.timer.tick().await;
            if last != Some(self.seen) {
                self.was_waiting = false;
            } else {
                let (connection, queue) = (Arc::clone(&self.connection), self.queue.clone());
                self.asking = Some(Box::pin(async move {
                    let asking = timeout(ATTEMPT_TIME, has_messages(&connection, queue));
                    matches!(asking.await, Ok(Ok(true)))
                }));
            }
            self.seen = last.unwrap_or(0);
        }
    }
}

/// Whether messages wait in a queue for a consumer.
async fn has_messages(
    connection: &BrokerConnection,
    queue: ShortString,
) -> Result<bool, AmqpError> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    // A refusal closes the channel, so this one serves nothing else.
    let channel = connection.channel().await?;
    let asked = channel.queue_declare(queue, passive, FieldTable::default());
    Ok(asked.await?.message_count() > 0)
}
