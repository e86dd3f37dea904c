//! ConsumeMode, with acknowledgements.

use std::{collections::BTreeSet, fmt, pin::Pin, sync::Arc};

use super::{
    channel::Channel,
    dialog::Message,
    error::AmqpError,
    link::{Link, reopen},
    request::Owner,
};
use crate::{
    config::{MqEndpoint, NodeType},
    transport::mq::{ConsumeMode, Delivery, DeliveryTag, Settlement},
};

/// An endpoint that is open for reading.
pub(crate) struct AmqpConsumer {
    source: Source,
    channel: Channel,
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
    reading: ConsumeMode,
    /// Which channel is opened.
    nth: u64,
}

impl AmqpConsumer {
    pub(super) async fn open(
        link: Arc<Link>,
        endpoint: &MqEndpoint,
        reading: ConsumeMode,
    ) -> Result<Self, AmqpError> {
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
            match self.channel.message().await {
                Ok(Some(message)) => {
                    self.unsettled.insert(message.number);
                    return Some(received(message, self.source.nth));
                }
                _ if self.is_cancelled => return None,
                Err(error) => tracing::warn!(
                    endpoint = self.source.endpoint.name,
                    "reading was interrupted: {error}"
                ),
                Ok(None) => tracing::warn!(
                    endpoint = self.source.endpoint.name,
                    "the broker has ended reading"
                ),
            }
            // What this channel has not acknowledged goes back to the queue.
            let mut source = self.source.clone();
            source.nth += 1;
            let leaving = self.channel.close();
            self.reopening = Some(Box::pin(async move {
                leaving.await;
                reopen(&source.endpoint, || source.open()).await
            }));
        }
    }

    pub(crate) async fn cancel(&mut self) {
        self.is_cancelled = true;
        // Where the broker is away nothing comes any more anyway.
        self.reopening = None;
        let _ = self.channel.cancel().await;
    }

    pub(crate) fn prefetch(&self) -> u16 {
        self.source.endpoint.prefetch
    }

    /// Of a channel that is lost nothing can be told, and nothing has to be: the
    /// broker delivers again.
    pub(crate) fn tell(&mut self, settled: &[Settlement]) {
        let (mut done, mut given_back) = (Vec::new(), Vec::new());
        for settled in settled {
            let (Settlement::Done(tag) | Settlement::GivenBack(tag)) = settled;
            if tag.channel == self.source.nth && self.unsettled.remove(&tag.number) {
                match settled {
                    Settlement::Done(_) => done.push(tag.number),
                    Settlement::GivenBack(_) => given_back.push(tag.number),
                }
            }
        }
        // Before what acknowledges all that is left.
        for number in given_back {
            self.channel.give_back(number);
        }
        let first_left = self.unsettled.first().copied().unwrap_or(u64::MAX);
        let through = done
            .iter()
            .copied()
            .filter(|number| *number < first_left)
            .max();
        for number in done.into_iter().filter(|number| *number > first_left) {
            self.channel.acknowledge(number, false);
        }
        if let Some(through) = through {
            self.channel.acknowledge(through, true);
        }
    }

    pub(crate) async fn close(&mut self) {
        // Answered after all that was told before.
        self.channel.close().await;
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
    async fn open(&self) -> Result<AmqpConsumer, AmqpError> {
        if self.reading == ConsumeMode::Shared {
            self.link.declare(&self.endpoint).await?;
        }
        let channel = self.link.channel().await?;
        let queue = self.queue(&channel).await?;
        channel.consume(&queue, self.endpoint.prefetch).await?;
        Ok(AmqpConsumer {
            source: self.clone(),
            channel,
            unsettled: BTreeSet::new(),
            reopening: None,
            is_cancelled: false,
        })
    }

    /// The queue that is read; one that is this reader's alone is made, and
    /// bound to its topic.
    async fn queue(&self, channel: &Channel) -> Result<String, AmqpError> {
        let address = &self.endpoint.address;
        let name = address.name.as_str();
        match (self.reading, address.node) {
            (ConsumeMode::Shared, NodeType::Queue) => Ok(name.to_owned()),
            // The queue ends with its connection.
            (ConsumeMode::Exclusive, _) => channel.declare_queue(name, Owner::Connection).await,
            (ConsumeMode::Shared, NodeType::Topic) => {
                let queue = channel.declare_queue("", Owner::Connection).await?;
                let key = address.subject.as_deref().unwrap_or("#");
                channel.bind(&queue, name, key).await?;
                Ok(queue)
            }
        }
    }
}

fn received(message: Message, channel: u64) -> Delivery {
    let Message {
        number,
        is_redelivered,
        properties,
        body,
    } = message;
    Delivery {
        body,
        expires_in: properties.expires_in,
        is_batch: properties.is_batch,
        is_redelivered,
        is_persistent: properties.is_persistent,
        tag: DeliveryTag { channel, number },
    }
}
