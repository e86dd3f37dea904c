//! Reading, with acknowledgements.

use std::{collections::BTreeSet, fmt, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Consumer,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions,
        BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};

use super::{
    PERSISTENT,
    link::{Link, reopen},
};
use crate::{
    config::{MqEndpoint, NodeType},
    transport::mq::{Delivery, Reading, Settled, Tag, batch},
};

/// An endpoint that is open for reading.
pub(crate) struct AmqpConsumer {
    source: Source,
    channel: Channel,
    consumer: Consumer,
    /// The deliveries of this channel of which the broker was told nothing.
    unsettled: BTreeSet<u64>,
    /// Kept here, so that it goes on when a read is given up and begun again.
    reopening: Option<Pin<Box<dyn Future<Output = Self> + Send>>>,
    is_cancelled: bool,
}

/// What is read, and how.
#[derive(Debug, Clone)]
struct Source {
    link: Arc<Link>,
    endpoint: MqEndpoint,
    reading: Reading,
    /// Which channel is opened.
    nth: u64,
}

impl AmqpConsumer {
    pub(super) async fn open(
        link: Arc<Link>,
        endpoint: &MqEndpoint,
        reading: Reading,
    ) -> lapin::Result<Self> {
        let source = Source {
            link,
            endpoint: endpoint.clone(),
            reading,
            nth: 0,
        };
        source.open().await
    }

    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(reopening) = &mut self.reopening {
                *self = reopening.await;
            }
            match self.consumer.next().await {
                Some(Ok(delivery)) => {
                    self.unsettled.insert(delivery.delivery_tag);
                    return Some(received(delivery, self.source.nth));
                }
                _ if self.is_cancelled => return None,
                Some(Err(error)) => tracing::warn!(
                    endpoint = self.source.endpoint.name,
                    "reading was interrupted: {error}"
                ),
                None => tracing::warn!(
                    endpoint = self.source.endpoint.name,
                    "the broker has ended reading"
                ),
            }
            // What this channel has not acknowledged goes back to the queue.
            let (mut source, channel) = (self.source.clone(), self.channel.clone());
            source.nth += 1;
            self.reopening = Some(Box::pin(async move {
                let _ = channel.close(200, "reopened".into()).await;
                reopen(&source.endpoint, || source.open()).await
            }));
        }
    }

    pub(crate) async fn cancel(&mut self) {
        self.is_cancelled = true;
        // Where the broker is away nothing comes any more anyway.
        self.reopening = None;
        let cancelling = self
            .channel
            .basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        let _ = cancelling.await;
    }

    pub(crate) fn prefetch(&self) -> u16 {
        self.source.endpoint.prefetch
    }

    /// Of a channel that is lost nothing can be told, and nothing has to be: the
    /// broker delivers again.
    pub(crate) fn tell(&mut self, settled: &[Settled]) {
        let (mut done, mut given_back) = (Vec::new(), Vec::new());
        for settled in settled {
            let (Settled::Done(tag) | Settled::GivenBack(tag)) = settled;
            if tag.channel == self.source.nth && self.unsettled.remove(&tag.number) {
                match settled {
                    Settled::Done(_) => done.push(tag.number),
                    Settled::GivenBack(_) => given_back.push(tag.number),
                }
            }
        }
        // Before what acknowledges all that is left.
        for number in given_back {
            self.give_back(number);
        }
        let first_left = self.unsettled.first().copied().unwrap_or(u64::MAX);
        let through = done
            .iter()
            .copied()
            .filter(|number| *number < first_left)
            .max();
        for number in done.into_iter().filter(|number| *number > first_left) {
            self.acknowledge(number, false);
        }
        if let Some(through) = through {
            self.acknowledge(through, true);
        }
    }

    /// Acknowledges a delivery, or all through it.
    fn acknowledge(&self, number: u64, multiple: bool) {
        let options = BasicAckOptions { multiple };
        // Polled once it has its place among what leaves. Waiting for more
        // would cost as much as the acknowledgement.
        let _ = self.channel.basic_ack(number, options).now_or_never();
    }

    fn give_back(&self, number: u64) {
        let options = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        let _ = self.channel.basic_nack(number, options).now_or_never();
    }

    pub(crate) async fn close(&mut self) {
        // Answered after all that was told before.
        let _ = self.channel.close(200, "read".into()).await;
    }
}

impl fmt::Debug for AmqpConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConsumer")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Source {
    async fn open(&self) -> lapin::Result<AmqpConsumer> {
        if self.reading == Reading::Shared {
            self.link.declare(&self.endpoint).await?;
        }
        let (channel, _) = self.link.channel().await?;
        let queue = self.queue(&channel).await?;
        // Not global: brokers from 4.0 on know no other.
        let options = BasicQosOptions { global: false };
        channel.basic_qos(self.endpoint.prefetch, options).await?;
        let options = BasicConsumeOptions::default();
        let consumer = channel
            .basic_consume(queue, "".into(), options, FieldTable::default())
            .await?;
        Ok(AmqpConsumer {
            source: self.clone(),
            channel,
            consumer,
            unsettled: BTreeSet::new(),
            reopening: None,
            is_cancelled: false,
        })
    }

    /// The queue that is read; one that is this reader's alone is made, and
    /// bound to its topic.
    async fn queue(&self, channel: &Channel) -> lapin::Result<ShortString> {
        let address = &self.endpoint.address;
        let name = address.name.as_str();
        match (self.reading, address.node) {
            (Reading::Shared, NodeType::Queue) => Ok(name.into()),
            (Reading::Exclusive, _) => own_queue(channel, name).await,
            (Reading::Shared, NodeType::Topic) => {
                let queue = own_queue(channel, "").await?;
                let key = address.subject.as_deref().unwrap_or("#");
                let options = QueueBindOptions::default();
                channel
                    .queue_bind(
                        queue.clone(),
                        name.into(),
                        key.into(),
                        options,
                        FieldTable::default(),
                    )
                    .await?;
                Ok(queue)
            }
        }
    }
}

/// A queue that ends with its connection; the broker names it where `name` is
/// empty.
async fn own_queue(channel: &Channel, name: &str) -> lapin::Result<ShortString> {
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel
        .queue_declare(name.into(), options, FieldTable::default())
        .await?;
    Ok(declared.name().clone())
}

fn received(mut delivery: lapin::message::Delivery, channel: u64) -> Delivery {
    let properties = &delivery.properties;
    let millis = properties
        .expiration()
        .as_ref()
        .and_then(|text| text.as_str().parse().ok());
    let content_type = properties.content_type().as_ref();
    Delivery {
        expires_in: millis.map(Duration::from_millis),
        is_batch: content_type.is_some_and(|kind| kind.as_str() == batch::CONTENT_TYPE),
        is_redelivered: delivery.redelivered,
        is_persistent: *properties.delivery_mode() == Some(PERSISTENT),
        body: std::mem::take(&mut delivery.data),
        tag: Tag {
            channel,
            number: delivery.delivery_tag,
        },
    }
}
