//! Consuming, with acknowledgements.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::join_all,
    stream::{FuturesUnordered, SelectAll},
};
use lapin::{
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions,
        BasicQosOptions, ChannelFlowOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};
use tokio::time::timeout;

use super::{
    PERSISTENT,
    carry_over::{self, CarryOverWatch},
    connection::{ATTEMPT_TIME, AmqpError, BrokerChannel, BrokerConnection, Declaration, reopen},
    pace::AttemptPace,
    poison::{DeliveryCount, PoisonGuard},
};
use crate::{
    config::{MqEndpoint, NodeType},
    transport::{
        batch,
        delivery::{ConsumeMode, Delivery, DeliveryTag, Settlement},
    },
};

/// AMQP's reply code: the queue is in exclusive use, or the user may not read it.
const ACCESS_REFUSED: u16 = 403;
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
    /// The number of the last delivery; 0 before the first one.
    last_number: u64,
    /// For a queue whose consumers may be carried over.
    carry_over: Option<CarryOverWatch>,
    /// Deliveries that the guard publishes again. Meanwhile the others are held: a
    /// copy that ends this process must not do so before the broker has the
    /// acknowledgement of the original, which it would deliver again otherwise.
    counted: FuturesUnordered<CountedDelivery>,
    held: VecDeque<Delivery>,
    /// Ends when the broker has read all acknowledgements of originals.
    acknowledging: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Stored here, so that it continues when [`AmqpConsumer::next`] is dropped
    /// and called again.
    reopening: Option<Pin<Box<dyn Future<Output = Self> + Send>>>,
    is_cancelled: bool,
    /// Whether the broker has confirmed the cancellation.
    is_ended: bool,
}

/// A delivery, and whether it was published again.
type CountedDelivery = Pin<Box<dyn Future<Output = (Delivery, bool)> + Send>>;

/// What is consumed, and how.
#[derive(Debug, Clone)]
struct Subscription {
    connection: Arc<BrokerConnection>,
    endpoint: MqEndpoint,
    mode: ConsumeMode,
    guard: Option<Arc<PoisonGuard>>,
    /// Counts the channels that were opened.
    channel: u64,
    pace: Arc<AttemptPace>,
}

impl AmqpConsumer {
    pub(super) async fn open(
        connection: Arc<BrokerConnection>,
        endpoint: &MqEndpoint,
        mode: ConsumeMode,
        guard: Option<PoisonGuard>,
    ) -> Result<Self, AmqpError> {
        let subscription = Subscription {
            connection,
            endpoint: endpoint.clone(),
            mode,
            guard: guard.filter(|_| mode == ConsumeMode::Shared).map(Arc::new),
            channel: 0,
            pace: Arc::default(),
        };
        subscription.open().await
    }

    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(reopening) = &mut self.reopening {
                *self = reopening.await;
            }
            let is_holding = !self.counted.is_empty() || self.acknowledging.is_some();
            if !is_holding && let Some(delivery) = self.held.pop_front() {
                return Some(delivery);
            }
            if self.is_ended && !is_holding {
                return None;
            }
            let acknowledged = async {
                match &mut self.acknowledging {
                    Some(acknowledging) => acknowledging.await,
                    None => std::future::pending().await,
                }
            };
            let extended = async {
                match &mut self.extending {
                    Some(extending) => extending.await,
                    None => std::future::pending().await,
                }
            };
            // A standby consumer receives nothing either, nor does one that is cancelled.
            let is_idle = self.unsettled.is_empty() && self.last_number > 0 && !self.is_cancelled;
            let last_number = is_idle.then_some(self.last_number);
            let carried_over = async {
                match &mut self.carry_over {
                    Some(watch) => watch.found(last_number).await,
                    None => std::future::pending().await,
                }
            };
            let endpoint = &self.subscription.endpoint.name;
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
                Some((delivery, is_done)) = self.counted.next() => {
                    self.counted_ended(delivery, is_done);
                    continue;
                }
                () = acknowledged => {
                    self.acknowledging = None;
                    continue;
                }
                received = self.consumers.next(), if !self.is_ended => received,
                () = carried_over => {
                    tracing::warn!(endpoint, "the broker delivers nothing, though messages wait");
                    self.reopen();
                    continue;
                }
            };
            match received {
                Some(Ok(delivery)) => {
                    if let Some(delivery) = self.receive(delivery) {
                        if !is_holding {
                            return Some(delivery);
                        }
                        self.held.push_back(delivery);
                    }
                    // Ended, or the guard has it.
                    continue;
                }
                _ if self.is_cancelled && is_holding => {
                    self.is_ended = true;
                    continue;
                }
                _ if self.is_cancelled => return None,
                Some(Err(error)) => {
                    tracing::warn!(endpoint, "consuming was interrupted: {error}");
                }
                None => tracing::warn!(endpoint, "the broker has cancelled the consumer"),
            }
            self.reopen();
        }
    }

    /// Begins to consume on another channel. The broker requeues what this one has
    /// not acknowledged.
    fn reopen(&mut self) {
        let mut subscription = self.subscription.clone();
        subscription.channel += 1;
        let channel = lapin::Channel::clone(&self.channel);
        self.reopening = Some(Box::pin(async move {
            let _ = timeout(ATTEMPT_TIME, channel.close(200, "reopened".into())).await;
            let pace = Arc::clone(&subscription.pace);
            reopen(&subscription.endpoint, &pace, || subscription.open()).await
        }));
    }

    /// Takes a delivery, unless the guard does. A broker that exceeds the prefetch
    /// loses its connection.
    fn receive(&mut self, mut delivery: lapin::message::Delivery) -> Option<Delivery> {
        let control = &self.channel.control;
        control.taken(self.channel.id(), delivery.data.len());
        let number = delivery.delivery_tag;
        self.last_number = number;
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
        let count = DeliveryCount::of(properties.headers().as_ref(), delivery.redelivered);
        let expiration = properties.expiration().as_ref();
        let millis = expiration.and_then(|text| text.as_str().parse().ok());
        let content_type = properties.content_type().as_ref();
        let received = Delivery {
            expires_in: millis.map(Duration::from_millis),
            is_batch: content_type.is_some_and(|kind| kind.as_str() == batch::CONTENT_TYPE),
            is_redelivered: count.is_redelivered(),
            user_id: properties
                .user_id()
                .as_ref()
                .map(|user| user.as_str().into()),
            is_persistent: *properties.delivery_mode() == Some(PERSISTENT),
            body: std::mem::take(&mut delivery.data),
            tag: DeliveryTag {
                channel: self.subscription.channel,
                number,
            },
        };
        match &self.subscription.guard {
            Some(guard) if guard.takes(count, delivery.redelivered) => {
                let guard = Arc::clone(guard);
                self.counted.push(Box::pin(async move {
                    let is_done = guard.publish(&received, count).await;
                    (received, is_done)
                }));
                None
            }
            _ => Some(received),
        }
    }

    /// Acknowledges the original of a delivery that was published again. After the
    /// last one it asks the broker for an answer, which shows that it has read them.
    fn counted_ended(&mut self, delivery: Delivery, is_done: bool) {
        if is_done {
            self.tell(&[Settlement::Acknowledge(delivery.tag)]);
        } else {
            self.held.push_back(delivery);
        }
        if self.counted.is_empty() {
            let channel = lapin::Channel::clone(&self.channel);
            self.acknowledging = Some(Box::pin(async move {
                // The flow is active anyway; the broker answers in order.
                let asking = channel.channel_flow(ChannelFlowOptions { active: true });
                let _ = timeout(ATTEMPT_TIME, asking).await;
            }));
        }
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
        // An exclusive consumer is the only one of its queue.
        if self.is_cancelled || self.reopening.is_some() || self.subscription.endpoint.exclusive {
            return;
        }
        let missing = prefetch.saturating_sub(self.prefetch);
        if missing > 0 && self.extending.is_none() {
            let tag = ShortString::from(format!("{CONSUMER_TAG}{}", self.tags.len()));
            self.tags.push(tag.clone());
            self.prefetch = prefetch;
            self.most_unsettled = self.most_unsettled.max(usize::from(prefetch));
            let (channel, queue) = (lapin::Channel::clone(&self.channel), self.queue.clone());
            let Subscription { endpoint, mode, .. } = &self.subscription;
            let kind = ConsumerKind {
                may_be_carried_over: self.carry_over.is_some(),
                ..ConsumerKind::of(endpoint, *mode)
            };
            self.extending = Some(Box::pin(async move {
                consume(&channel, queue, tag, missing, kind).await
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
        let kind = ConsumerKind::of(endpoint, *mode);
        match self.consume(kind).await {
            Err(error) if carry_over::is_unknown(&error) => {
                let kind = ConsumerKind {
                    may_be_carried_over: true,
                    ..kind
                };
                self.consume(kind).await
            }
            consumed => consumed,
        }
        .map_err(|error| explained(error, endpoint))
    }

    /// Consumes on a channel of its own.
    async fn consume(&self, kind: ConsumerKind) -> Result<AmqpConsumer, AmqpError> {
        let Self {
            connection,
            endpoint,
            ..
        } = self;
        let channel = connection.channel().await?;
        let queue = self.queue(&channel).await?;
        channel.control.limit_unread(channel.id());
        let (tag, prefetch) = (ShortString::from(CONSUMER_TAG), endpoint.prefetch);
        let consumer = consume(&channel, queue.clone(), tag.clone(), prefetch, kind).await?;
        let watch = || CarryOverWatch::new(connection, &queue);
        Ok(AmqpConsumer {
            carry_over: kind.may_be_carried_over.then(watch),
            subscription: self.clone(),
            channel,
            queue,
            consumers: SelectAll::from_iter([consumer]),
            tags: vec![tag],
            prefetch,
            most_unsettled: usize::from(prefetch),
            extending: None,
            unsettled: BTreeSet::new(),
            last_number: 0,
            counted: FuturesUnordered::new(),
            held: VecDeque::new(),
            acknowledging: None,
            is_ended: false,
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

/// How the broker delivers to a consumer.
#[derive(Debug, Clone, Copy)]
struct ConsumerKind {
    /// An own queue ends with its connection: nothing could be delivered again.
    no_ack: bool,
    /// The broker admits no other consumer to the queue.
    is_exclusive: bool,
    /// The queue can't refuse it.
    may_be_carried_over: bool,
}

impl ConsumerKind {
    fn of(endpoint: &MqEndpoint, mode: ConsumeMode) -> Self {
        Self {
            no_ack: mode == ConsumeMode::Exclusive,
            is_exclusive: endpoint.exclusive && mode == ConsumeMode::Shared,
            may_be_carried_over: false,
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
    kind: ConsumerKind,
) -> lapin::Result<lapin::Consumer> {
    let options = BasicQosOptions { global: false };
    channel.basic_qos(prefetch, options).await?;
    let options = BasicConsumeOptions {
        no_ack: kind.no_ack,
        exclusive: kind.is_exclusive,
        ..BasicConsumeOptions::default()
    };
    let arguments = match kind.may_be_carried_over {
        true => FieldTable::default(),
        false => carry_over::refusal(),
    };
    channel.basic_consume(queue, tag, options, arguments).await
}

/// Says what a refusal to consume means.
fn explained(error: AmqpError, endpoint: &MqEndpoint) -> AmqpError {
    let queue = &endpoint.address.name;
    match error {
        AmqpError::Refused { code, text } if code == ACCESS_REFUSED => AmqpError::Refused {
            code,
            text: match endpoint.exclusive && text.contains("exclusive") {
                true => format!(
                    "another program reads the queue `{queue}`, which only one may read: each \
                     gateway needs a queue of its own for RETURNs and pushes ({text})"
                ),
                false => text,
            },
        },
        other => other,
    }
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
