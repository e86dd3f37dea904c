//! Reading, with acknowledgements.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Consumer,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions,
        BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};

use super::link::{Link, reopen};
use crate::{
    config::{MqEndpoint, NodeType},
    transport::mq::{Ack, Delivery, Reading, batch},
};

/// An endpoint that is open for reading.
pub(crate) struct AmqpConsumer {
    source: Source,
    channel: Channel,
    consumer: Consumer,
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
        };
        source.open().await
    }

    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(reopening) = &mut self.reopening {
                *self = reopening.await;
            }
            match self.consumer.next().await {
                Some(Ok(delivery)) => return Some(received(delivery)),
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
            let (source, channel) = (self.source.clone(), self.channel.clone());
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

fn received(mut delivery: lapin::message::Delivery) -> Delivery {
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
        body: std::mem::take(&mut delivery.data),
        ack: Ack::Amqp(AmqpAck(Box::new(delivery))),
    }
}

/// Tells the broker what became of one delivery.
///
/// Of a connection that is lost nothing can be told, and nothing has to be: the
/// broker delivers again.
#[derive(Debug)]
pub(crate) struct AmqpAck(Box<lapin::message::Delivery>);

impl AmqpAck {
    pub(crate) async fn acknowledge(self) {
        let _ = self.0.acker.ack(BasicAckOptions::default()).await;
    }

    pub(crate) async fn give_back(self) {
        let options = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        let _ = self.0.acker.nack(options).await;
    }
}
