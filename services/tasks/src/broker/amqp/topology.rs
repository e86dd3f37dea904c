//! The names and declarations at RabbitMQ.
//!
//! A delayed message passes level queues, one for each bit of its delay that is set: level L keeps it
//! for 2^L × 128 ms. The exchange of each level routes by one bit of the routing key to the queue of
//! the level or to the next exchange, and the queue dead-letters to the next exchange. One queue with
//! a time for each message would not do: messages expire at the head only.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, LongString, ShortString},
};

use crate::model::Priority;

/// The levels of delays: the longest delay is 2^28 × 128 ms, about 397 days.
const LEVELS: u32 = 28;
/// The delay of level 0, in milliseconds.
const UNIT_MS: u64 = 128;
/// Deliveries of one message before RabbitMQ moves it to the dead ones: a safety net below the limit
/// of deaths.
const DELIVERY_LIMIT: i32 = 50;
/// Dead messages are looked at by taking and returning them, which counts as deliveries.
const DEAD_DELIVERY_LIMIT: i32 = 1_000_000;

/// Where a message is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) exchange: String,
    pub(super) key: String,
}

/// The queue of the tasks of a group that have the same priority.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GroupQueue {
    pub(super) group: String,
    pub(super) priority: Priority,
}

impl GroupQueue {
    /// A word of a routing key. Words of groups hold no `%` but that of a code.
    fn word(&self) -> String {
        let group = word(&self.group);
        match self.priority {
            Priority::Normal => group,
            priority => format!("{group}%{priority}"),
        }
    }
}

/// The names, which begin with a prefix so that permissions can be granted by pattern.
#[derive(Debug, Clone)]
pub(super) struct Topology {
    prefix: String,
}

/// A group as one word of a routing key: without dots and the wildcards of bindings.
fn word(group: &str) -> String {
    let mut word = String::with_capacity(group.len());
    for character in group.chars() {
        match character {
            '%' => word.push_str("%25"),
            '.' => word.push_str("%2E"),
            '*' => word.push_str("%2A"),
            '#' => word.push_str("%23"),
            other => word.push(other),
        }
    }
    word
}

impl Topology {
    /// The most bytes of a prefix and an encoded group together, so that routing keys and names stay
    /// below 256 bytes.
    const MAX_NAME: usize = 180;

    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// Whether names of the group fit.
    pub(super) fn fits(&self, group: &str) -> bool {
        self.prefix.len() + word(group).len() <= Self::MAX_NAME
    }

    pub(super) fn queue(&self, queue: &GroupQueue) -> String {
        format!("{}group.{}", self.prefix, queue.word())
    }

    pub(super) fn dead(&self) -> String {
        format!("{}dead", self.prefix)
    }

    pub(super) fn outcomes(&self) -> String {
        format!("{}outcomes", self.prefix)
    }

    fn delivery(&self) -> String {
        format!("{}delivery", self.prefix)
    }

    fn unroutable(&self) -> String {
        format!("{}unroutable", self.prefix)
    }

    fn level(&self, level: u32) -> String {
        format!("{}delay.{level}", self.prefix)
    }

    /// Where the message for a queue goes that is due after a delay. Longer delays than the levels
    /// have are cut: such a message is delayed again when it arrives.
    pub(super) fn address(&self, queue: &GroupQueue, delay_ms: u64) -> Address {
        let units = delay_ms.div_ceil(UNIT_MS).min((1 << LEVELS) - 1);
        if units == 0 {
            return Address {
                exchange: String::new(),
                key: self.queue(queue),
            };
        }
        let mut key = String::new();
        for level in (0..LEVELS).rev() {
            key.push_str(if units >> level & 1 == 1 { "1." } else { "0." });
        }
        key.push_str(&queue.word());
        Address {
            exchange: self.level(units.ilog2()),
            key,
        }
    }

    /// Declares what all groups share, without the levels.
    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        declare_queue(
            channel,
            &self.dead(),
            [("x-delivery-limit", number(DEAD_DELIVERY_LIMIT))],
        )
        .await?;
        let outcomes = [("x-delivery-limit", number(DEAD_DELIVERY_LIMIT))];
        declare_queue(channel, &self.outcomes(), outcomes).await?;
        let unroutable = self.unroutable();
        declare_exchange(channel, &unroutable, ExchangeKind::Fanout, None).await?;
        bind_queue(channel, &self.dead(), &unroutable, "").await?;
        // Without the alternate exchange 32 unroutable tasks block a level for all others.
        let alternate = Some(unroutable);
        declare_exchange(channel, &self.delivery(), ExchangeKind::Topic, alternate).await
    }

    /// Declares the levels of delays.
    pub(super) async fn declare_levels(&self, channel: &Channel) -> lapin::Result<()> {
        for level in 0..LEVELS {
            let (name, below) = (
                self.level(level),
                match level {
                    0 => self.delivery(),
                    level => self.level(level - 1),
                },
            );
            declare_exchange(channel, &name, ExchangeKind::Topic, None).await?;
            let kept_ms = i64::try_from(UNIT_MS << level).unwrap_or(i64::MAX);
            let arguments = [
                ("x-message-ttl", AMQPValue::LongLongInt(kept_ms)),
                ("x-dead-letter-exchange", text(&below)),
                ("x-dead-letter-strategy", text("at-least-once")),
                ("x-overflow", text("reject-publish")),
                ("x-delivery-limit", number(DEAD_DELIVERY_LIMIT)),
            ];
            declare_queue(channel, &name, arguments).await?;
            let higher = "*.".repeat(usize::try_from(LEVELS - 1 - level).unwrap_or(0));
            bind_queue(channel, &name, &name, &format!("{higher}1.#")).await?;
            let (below, options) = (short(&below), ExchangeBindOptions::default());
            let key = short(&format!("{higher}0.#"));
            let arguments = FieldTable::default();
            channel
                .exchange_bind(below, short(&name), key, options, arguments)
                .await?;
        }
        Ok(())
    }

    /// Declares a queue of a group.
    pub(super) async fn declare_group(
        &self,
        channel: &Channel,
        queue: &GroupQueue,
    ) -> lapin::Result<()> {
        let name = self.queue(queue);
        let arguments = [
            ("x-delivery-limit", number(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&self.dead())),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        declare_queue(channel, &name, arguments).await?;
        let key = format!("#.{}", queue.word());
        bind_queue(channel, &name, &self.delivery(), &key).await
    }
}

/// A name or key, which [`Topology::fits`] has admitted. A longer one would become empty, which the
/// broker refuses.
pub(super) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

fn number(number: i32) -> AMQPValue {
    AMQPValue::LongInt(number)
}

async fn declare_queue(
    channel: &Channel,
    name: &str,
    arguments: impl IntoIterator<Item = (&str, AMQPValue)>,
) -> lapin::Result<()> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (key, value) in arguments {
        table.insert(key.into(), value);
    }
    let options = QueueDeclareOptions::durable();
    channel.queue_declare(short(name), options, table).await?;
    Ok(())
}

async fn declare_exchange(
    channel: &Channel,
    name: &str,
    kind: ExchangeKind,
    alternate: Option<String>,
) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    if let Some(alternate) = alternate {
        arguments.insert("alternate-exchange".into(), text(&alternate));
    }
    channel
        .exchange_declare(short(name), kind, options, arguments)
        .await
}

async fn bind_queue(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
) -> lapin::Result<()> {
    let (queue, exchange, key) = (short(queue), short(exchange), short(key));
    let options = QueueBindOptions::default();
    channel
        .queue_bind(queue, exchange, key, options, FieldTable::default())
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_enters_at_its_highest_bit() {
        let topology = Topology::new("t.");
        let queue = |group: &str, priority| GroupQueue {
            group: group.to_owned(),
            priority,
        };
        let address = topology.address(&queue("group1", Priority::Normal), 640);
        assert_eq!(address.exchange, "t.delay.2");
        assert_eq!(address.key, format!("{}1.0.1.group1", "0.".repeat(25)));
        let now = topology.address(&queue("a.b", Priority::Low), 0);
        assert_eq!(
            (now.exchange.as_str(), now.key.as_str()),
            ("", "t.group.a%2Eb%low")
        );
        let longest = topology.address(&queue("g", Priority::High), u64::MAX);
        assert_eq!(longest.exchange, "t.delay.27");
        assert_eq!(longest.key, format!("{}g%high", "1.".repeat(28)));
    }
}
