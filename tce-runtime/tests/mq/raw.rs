//! A program at the broker that does not use this runtime.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
        ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};

use crate::common::{raw::Message, watching::within};

/// The time after which a queue counts as empty.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) struct Raw {
    connection: Connection,
    channel: Channel,
}

/// A consumer of a queue.
pub(crate) struct Reading(lapin::Consumer);

impl Raw {
    pub(crate) async fn connect(port: u16) -> Self {
        let uri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
        let connecting = Connection::connect(&uri, ConnectionProperties::default());
        let connection = within(connecting).await.expect("the broker is reachable");
        let channel = connection
            .create_channel()
            .await
            .expect("a channel is free");
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .expect("the broker supports confirmations");
        Self {
            connection,
            channel,
        }
    }

    pub(crate) async fn declare(
        &self,
        queue: &str,
        options: QueueDeclareOptions,
    ) -> lapin::Result<u32> {
        self.declare_with(queue, options, FieldTable::default())
            .await
    }

    pub(crate) async fn declare_with(
        &self,
        queue: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> lapin::Result<u32> {
        let declaring = self.channel.queue_declare(queue.into(), options, arguments);
        within(declaring).await.map(|queue| queue.message_count())
    }

    /// Declares a durable queue, `classic` or `quorum`.
    pub(crate) async fn declare_kind(&self, queue: &str, kind: &str) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        let options = QueueDeclareOptions::durable();
        let declared = self.declare_with(queue, options, arguments).await;
        declared.expect("the broker has this kind");
    }

    /// Whether a queue exists.
    pub(crate) async fn exists(&self, queue: &str) -> bool {
        let channel = within(self.connection.create_channel()).await;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asking = channel
            .expect("a channel is free")
            .queue_declare(queue.into(), options, FieldTable::default())
            .await;
        asking.is_ok()
    }

    /// The number of messages in a queue.
    pub(crate) async fn waiting(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        self.declare(queue, passive)
            .await
            .expect("the queue exists")
    }

    /// Waits until a queue has this number of messages.
    pub(crate) async fn wait_for(&self, queue: &str, count: u32) {
        within(async {
            while self.waiting(queue).await != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    pub(crate) async fn delete(&self, queue: &str) {
        let options = QueueDeleteOptions::default();
        let deleting = self.channel.queue_delete(queue.into(), options);
        within(deleting).await.expect("the queue exists");
    }

    pub(crate) async fn read(&self, queue: &str) -> Reading {
        let consuming = self.channel.basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        Reading(within(consuming).await.expect("the queue exists"))
    }

    /// Takes a message from a queue that is not empty.
    pub(crate) async fn get(&self, queue: &str) -> Delivery {
        let getting = self
            .channel
            .basic_get(queue.into(), BasicGetOptions { no_ack: true });
        within(getting)
            .await
            .expect("the queue exists")
            .expect("the queue is not empty")
            .delivery
    }

    pub(crate) async fn publish(&self, queue: &str, body: &[u8]) {
        self.publish_as(queue, body, BasicProperties::default())
            .await;
    }

    pub(crate) async fn publish_as(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let publishing = self.channel.basic_publish(
            "".into(),
            queue.into(),
            options,
            body,
            properties.with_delivery_mode(2),
        );
        let confirmation = within(async { publishing.await?.await }).await;
        let confirmation = confirmation.expect("the broker confirms it");
        assert_eq!(confirmation, Confirmation::Ack(None));
    }
}

impl Reading {
    pub(crate) async fn next(&mut self) -> Delivery {
        let delivery = within(self.0.next()).await.expect("the queue exists");
        let delivery = delivery.expect("the channel is open");
        delivery
            .ack(BasicAckOptions::default())
            .await
            .expect("the channel is open");
        delivery
    }

    pub(crate) async fn message(&mut self) -> Message {
        Message::parse(&self.next().await.data)
    }

    pub(crate) async fn nothing_comes(&mut self) {
        let next = tokio::time::timeout(QUIET, self.0.next()).await;
        assert!(next.is_err(), "{next:?}");
    }
}
