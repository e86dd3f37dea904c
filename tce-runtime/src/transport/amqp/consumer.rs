//! Consuming, with acknowledgements.

use std::{collections::BTreeSet, fmt, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::join_all, stream::SelectAll};
use lapin::{
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions,
        BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};
use tokio::time::timeout;

use super::{
    PERSISTENT,
    connection::{ATTEMPT_TIME, AmqpError, BrokerChannel, BrokerConnection, Declaration, reopen},
};
use crate::{
    config::{MqEndpoint, NodeType},
    transport::{
        batch,
        delivery::{ConsumeMode, Delivery, DeliveryTag, Settlement},
    },
};

/// The consumer tag. Each consumer has a channel of its own. A number follows in
/// the tags of further consumers, which extend the prefetch: a broker applies a
/// prefetch to the consumers that begin after it was set.
const CONSUMER_TAG: &str = "tce";

/// An endpoint that is open for consuming.
pub(crate) struct AmqpConsumer {
    subscription: Subscription,
    channel: BrokerChannel,
    /// The name of the queue at the broker.
    queue: ShortString,
    /// The first one, and those that extend its prefetch.
    consumers: SelectAll<lapin::Consumer>,
    /// The tags of the consumers, and the prefetch of all together.
    tags: Vec<ShortString>,
    prefetch: u16,
    /// The most deliveries that may be unsettled: the highest prefetch so far.
    most_unsettled: usize,
    /// A further consumer that begins.
    extending: Option<Pin<Box<dyn Future<Output = lapin::Result<lapin::Consumer>> + Send>>>,
    /// The deliveries of this channel that are not settled, by number.
    unsettled: BTreeSet<u64>,
    /// Stored here, so that it continues when [`AmqpConsumer::next`] is dropped
    /// and called again.
    reopening: Option<Pin<Box<dyn Future<Output = Self> + Send>>>,
    is_cancelled: bool,
}

/// What is consumed, and how.
#[derive(Debug, Clone)]
struct Subscription {
    connection: Arc<BrokerConnection>,
    endpoint: MqEndpoint,
    mode: ConsumeMode,
    /// Counts the channels that were opened.
    channel: u64,
}

impl AmqpConsumer {
    pub(super) async fn open(
        connection: Arc<BrokerConnection>,
        endpoint: &MqEndpoint,
        mode: ConsumeMode,
    ) -> Result<Self, AmqpError> {
        let subscription = Subscription {
            connection,
            endpoint: endpoint.clone(),
            mode,
            channel: 0,
        };
        subscription.open().await
    }

    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(reopening) = &mut self.reopening {
                *self = reopening.await;
            }
            let extended = async {
                match &mut self.extending {
                    Some(extending) => extending.await,
                    None => std::future::pending().await,
                }
            };
            let received = tokio::select! {
                biased;
                extended = extended => {
                    self.extending = None;
                    match extended {
                        Ok(consumer) => self.consumers.push(consumer),
                        // The first consumer ends with the channel, and reports it.
                        Err(error) => tracing::debug!("can't extend the prefetch: {error}"),
                    }
                    continue;
                }
                received = self.consumers.next() => received,
            };
            let endpoint = &self.subscription.endpoint.name;
            match received {
                Some(Ok(delivery)) => {
                    if let Some(delivery) = self.receive(delivery) {
                        return Some(delivery);
                    }
                }
                _ if self.is_cancelled => return None,
                Some(Err(error)) => {
                    tracing::warn!(endpoint, "consuming was interrupted: {error}");
                }
                None => tracing::warn!(endpoint, "the broker has cancelled the consumer"),
            }
            // The broker requeues what this channel has not acknowledged.
            let mut subscription = self.subscription.clone();
            subscription.channel += 1;
            let channel = lapin::Channel::clone(&self.channel);
            self.reopening = Some(Box::pin(async move {
                let _ = timeout(ATTEMPT_TIME, channel.close(200, "reopened".into())).await;
                reopen(&subscription.endpoint, || subscription.open()).await
            }));
        }
    }

    /// Takes a delivery. A broker that exceeds the prefetch loses its connection.
    fn receive(&mut self, mut delivery: lapin::message::Delivery) -> Option<Delivery> {
        let control = &self.channel.control;
        control.taken(self.channel.id(), delivery.data.len());
        let number = delivery.delivery_tag;
        if self.subscription.mode == ConsumeMode::Shared {
            if self.unsettled.len() >= self.most_unsettled {
                let reason = "the broker sends more messages than the prefetch allows";
                tracing::warn!(endpoint = self.subscription.endpoint.name, "{reason}");
                control.end(reason);
                return None;
            }
            self.unsettled.insert(number);
        }
        let properties = &delivery.properties;
        let expiration = properties.expiration().as_ref();
        let millis = expiration.and_then(|text| text.as_str().parse().ok());
        let content_type = properties.content_type().as_ref();
        Some(Delivery {
            expires_in: millis.map(Duration::from_millis),
            is_batch: content_type.is_some_and(|kind| kind.as_str() == batch::CONTENT_TYPE),
            is_redelivered: delivery.redelivered,
            is_persistent: *properties.delivery_mode() == Some(PERSISTENT),
            body: std::mem::take(&mut delivery.data),
            tag: DeliveryTag {
                channel: self.subscription.channel,
                number,
            },
        })
    }

    pub(crate) async fn cancel(&mut self) {
        self.is_cancelled = true;
        // While the connection is lost there is nothing to cancel.
        self.reopening = None;
        let options = BasicCancelOptions::default();
        self.extending = None;
        let cancelling = self
            .tags
            .drain(..)
            .map(|tag| self.channel.basic_cancel(tag, options));
        let _ = timeout(ATTEMPT_TIME, join_all(cancelling)).await;
    }

    pub(crate) fn prefetch(&self) -> u16 {
        self.subscription.endpoint.prefetch
    }

    pub(crate) fn extended_prefetch(&self) -> u16 {
        self.prefetch
    }

    /// Extends the prefetch by a further consumer, or ends those that extend it.
    pub(crate) fn set_prefetch(&mut self, prefetch: u16) {
        if self.is_cancelled || self.reopening.is_some() {
            return;
        }
        let missing = prefetch.saturating_sub(self.prefetch);
        if missing > 0 && self.extending.is_none() {
            let tag = ShortString::from(format!("{CONSUMER_TAG}{}", self.tags.len()));
            self.tags.push(tag.clone());
            self.prefetch = prefetch;
            self.most_unsettled = self.most_unsettled.max(usize::from(prefetch));
            let (channel, queue) = (lapin::Channel::clone(&self.channel), self.queue.clone());
            let mode = self.subscription.mode;
            self.extending = Some(Box::pin(async move {
                consume(&channel, queue, tag, missing, mode).await
            }));
        } else if missing == 0 && self.extending.is_none() {
            for tag in self.tags.drain(1..) {
                let options = BasicCancelOptions::default();
                // The first poll queues the frame; the broker's answer ends the
                // consumer.
                let _ = self.channel.basic_cancel(tag, options).now_or_never();
            }
            self.prefetch = self.prefetch();
        }
    }

    /// Settlements of a lost channel are ignored: the broker has requeued its
    /// deliveries.
    pub(crate) fn tell(&mut self, settlements: &[Settlement]) {
        let (mut acknowledged, mut requeued) = (Vec::new(), Vec::new());
        for settlement in settlements {
            let (Settlement::Acknowledge(tag) | Settlement::Requeue(tag)) = settlement;
            if tag.channel == self.subscription.channel && self.unsettled.remove(&tag.number) {
                match settlement {
                    Settlement::Acknowledge(_) => acknowledged.push(tag.number),
                    Settlement::Requeue(_) => requeued.push(tag.number),
                }
            }
        }
        // Before an acknowledgement that includes them.
        for number in requeued {
            self.requeue(number);
        }
        let first_unsettled = self.unsettled.first().copied().unwrap_or(u64::MAX);
        let (before, after): (Vec<_>, Vec<_>) = acknowledged
            .into_iter()
            .partition(|number| *number < first_unsettled);
        for number in after {
            self.acknowledge(number, false);
        }
        if let Some(last) = before.into_iter().max() {
            self.acknowledge(last, true);
        }
    }

    /// Acknowledges one delivery; with `multiple`, also all before it.
    fn acknowledge(&self, number: u64, multiple: bool) {
        let options = BasicAckOptions { multiple };
        // The first poll queues the frame; the rest would wait until it is sent.
        let _ = self.channel.basic_ack(number, options).now_or_never();
    }

    fn requeue(&self, number: u64) {
        let options = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        let _ = self.channel.basic_nack(number, options).now_or_never();
    }

    pub(crate) async fn close(&mut self) {
        // The broker answers after it has read all settlements.
        let closing = self.channel.close(200, "closed".into());
        let _ = timeout(ATTEMPT_TIME, closing).await;
    }
}

impl fmt::Debug for AmqpConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConsumer")
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    async fn open(&self) -> Result<AmqpConsumer, AmqpError> {
        let Self {
            connection,
            endpoint,
            mode,
            ..
        } = self;
        if *mode == ConsumeMode::Shared
            && let Some(declaration) = Declaration::of(&endpoint.address)
        {
            connection.declare(&declaration).await?;
        }
        let channel = connection.channel().await?;
        let queue = self.queue(&channel).await?;
        channel.control.limit_unread(channel.id());
        let (tag, prefetch) = (ShortString::from(CONSUMER_TAG), endpoint.prefetch);
        let consumer = consume(&channel, queue.clone(), tag.clone(), prefetch, *mode).await?;
        Ok(AmqpConsumer {
            subscription: self.clone(),
            channel,
            queue,
            consumers: SelectAll::from_iter([consumer]),
            tags: vec![tag],
            prefetch,
            most_unsettled: usize::from(prefetch),
            extending: None,
            unsettled: BTreeSet::new(),
            reopening: None,
            is_cancelled: false,
        })
    }

    /// The queue to consume. An own queue is declared, and bound to the topic.
    async fn queue(&self, channel: &BrokerChannel) -> Result<ShortString, AmqpError> {
        let address = &self.endpoint.address;
        let name = ShortString::try_new(address.name.as_str())?;
        match (self.mode, address.node) {
            (ConsumeMode::Shared, NodeType::Queue) => Ok(name),
            (ConsumeMode::Exclusive, _) => own_queue(channel, name).await,
            (ConsumeMode::Shared, NodeType::Topic) => {
                let queue = own_queue(channel, ShortString::default()).await?;
                let key = ShortString::try_new(address.subject.as_deref().unwrap_or("#"))?;
                let options = QueueBindOptions::default();
                let arguments = FieldTable::default();
                channel
                    .queue_bind(queue.clone(), name, key, options, arguments)
                    .await?;
                Ok(queue)
            }
        }
    }
}

/// Begins to consume. `prefetch` is the consumer's own: RabbitMQ 4 knows none per
/// channel.
async fn consume(
    channel: &lapin::Channel,
    queue: ShortString,
    tag: ShortString,
    prefetch: u16,
    mode: ConsumeMode,
) -> lapin::Result<lapin::Consumer> {
    let options = BasicQosOptions { global: false };
    channel.basic_qos(prefetch, options).await?;
    let options = BasicConsumeOptions {
        // An own queue ends with its connection: nothing could be delivered again.
        no_ack: mode == ConsumeMode::Exclusive,
        ..BasicConsumeOptions::default()
    };
    channel
        .basic_consume(queue, tag, options, FieldTable::default())
        .await
}

/// Declares a queue that ends with its connection; the broker chooses the name if
/// `name` is empty.
async fn own_queue(channel: &BrokerChannel, name: ShortString) -> Result<ShortString, AmqpError> {
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let arguments = FieldTable::default();
    let declared = channel.queue_declare(name, options, arguments).await?;
    Ok(declared.name().clone())
}
