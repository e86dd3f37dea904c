//! AMQP 0-9-1 by lapin, against RabbitMQ 3.10 to 4.x.
//!
//! Publishing and consuming use separate connections, so that a broker that
//! stops publishers does not stop acknowledgements.
//!
//! lapin's own recovery stays off. It replays channels and consumers as they
//! were; a broker that comes back without its queues, or with a full disk,
//! needs them declared and opened again with pauses in between, and unconfirmed
//! messages sent again. Two that recover the same consumer would read twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::FieldTable,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use tokio::sync::Mutex as AsyncMutex;

use super::{Ack, BrokerError, Delivery, Parcel, PublishError, Reading, batch};
use crate::config::{MqEndpoint, NodeType};

const HEARTBEAT_SECONDS: u16 = 10;
/// How long the first connection to a broker may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// The pauses between attempts to reach a broker that is away.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// AMQP's reply code for a queue that exists with other properties.
const PRECONDITION_FAILED: u16 = 406;

/// The brokers that the endpoints name, each connected when first needed.
#[derive(Debug, Default)]
pub(crate) struct AmqpBroker {
    links: Mutex<HashMap<(AmqpAddress, Purpose), Arc<Link>>>,
}

/// Where a broker is, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AmqpAddress {
    host: String,
    port: u16,
    vhost: String,
    user: String,
    password: String,
    tls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Publish,
    Consume,
}

/// A connection that is made anew when it is lost.
#[derive(Debug)]
struct Link {
    uri: AMQPUri,
    connection: AsyncMutex<Option<Connection>>,
}

impl AmqpBroker {
    fn link(&self, endpoint: &MqEndpoint, purpose: Purpose) -> Arc<Link> {
        let address = AmqpAddress::of(endpoint);
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.entry((address.clone(), purpose)).or_insert_with(|| {
            Arc::new(Link {
                uri: address.uri(),
                connection: AsyncMutex::new(None),
            })
        });
        Arc::clone(link)
    }

    pub(super) async fn publisher(
        &self,
        endpoint: &MqEndpoint,
    ) -> Result<AmqpPublisher, BrokerError> {
        let link = self.link(endpoint, Purpose::Publish);
        let channel = within(endpoint, open_publisher(&link, endpoint)).await?;
        Ok(AmqpPublisher {
            link,
            endpoint: endpoint.clone(),
            channel,
        })
    }

    pub(super) async fn consumer(
        &self,
        endpoint: &MqEndpoint,
        reading: Reading,
    ) -> Result<AmqpConsumer, BrokerError> {
        let link = self.link(endpoint, Purpose::Consume);
        let (channel, consumer) = within(endpoint, open_consumer(&link, endpoint, reading)).await?;
        Ok(AmqpConsumer {
            link,
            endpoint: endpoint.clone(),
            reading,
            channel,
            consumer,
        })
    }
}

impl AmqpAddress {
    fn of(endpoint: &MqEndpoint) -> Self {
        Self {
            host: endpoint.host.clone(),
            port: endpoint.port,
            vhost: endpoint.vhost.clone(),
            user: endpoint.user.clone(),
            password: endpoint.password.clone(),
            tls: endpoint.tls,
        }
    }

    fn uri(&self) -> AMQPUri {
        AMQPUri {
            scheme: if self.tls {
                AMQPScheme::AMQPS
            } else {
                AMQPScheme::AMQP
            },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.clone(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(HEARTBEAT_SECONDS),
                ..AMQPQueryString::default()
            },
        }
    }
}

async fn within<T>(
    endpoint: &MqEndpoint,
    opening: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    let MqEndpoint {
        name, host, port, ..
    } = endpoint;
    match tokio::time::timeout(CONNECT_TIME, opening).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => Err(BrokerError(format!(
            "endpoint `{name}`: the broker at {host}:{port}: {error}"
        ))),
        Err(_) => Err(BrokerError(format!(
            "endpoint `{name}`: the broker at {host}:{port} did not answer within {CONNECT_TIME:?}"
        ))),
    }
}

impl Link {
    /// A new channel, on a new connection where the old one is lost.
    async fn channel(&self) -> lapin::Result<Channel> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection
            && let Ok(channel) = connection.create_channel().await
        {
            return Ok(channel);
        }
        let properties = ConnectionProperties::default().with_connection_name("tce".into());
        let new = Connection::connect_uri(self.uri.clone(), properties).await?;
        let channel = new.create_channel().await?;
        *connection = Some(new);
        Ok(channel)
    }

    /// Tries until it succeeds, with pauses that grow.
    async fn reopen<T, F: Future<Output = lapin::Result<T>>>(
        &self,
        endpoint: &MqEndpoint,
        open: impl Fn() -> F,
    ) -> T {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(BACKOFF_MAX);
        let mut pauses = backoff.with_jitter().without_max_times().build();
        loop {
            match open().await {
                Ok(opened) => return opened,
                Err(error) => tracing::warn!(
                    endpoint = endpoint.name,
                    "can't reopen the endpoint: {error}"
                ),
            }
            tokio::time::sleep(pauses.next().unwrap_or(BACKOFF_MAX)).await;
        }
    }
}

/// Declares what an address names, as durable; what exists with other
/// properties is used as it is.
///
/// A failed declaration costs its channel, so it has one of its own.
async fn declare(link: &Link, endpoint: &MqEndpoint) -> lapin::Result<()> {
    let address = &endpoint.address;
    if !address.create {
        return Ok(());
    }
    let channel = link.channel().await?;
    let name = address.name.as_str();
    let declared = match address.node {
        NodeType::Queue => channel
            .queue_declare(
                name.into(),
                QueueDeclareOptions::durable(),
                FieldTable::default(),
            )
            .await
            .map(|_| ()),
        NodeType::Topic => {
            let options = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            channel
                .exchange_declare(
                    name.into(),
                    ExchangeKind::Topic,
                    options,
                    FieldTable::default(),
                )
                .await
        }
    };
    match declared {
        Err(error) if is_precondition_failed(&error) => {
            tracing::warn!(
                endpoint = endpoint.name,
                "`{name}` exists with other properties and is used as it is"
            );
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => channel.close(200, "declared".into()).await,
    }
}

fn is_precondition_failed(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == PRECONDITION_FAILED)
}

async fn open_publisher(link: &Link, endpoint: &MqEndpoint) -> lapin::Result<Channel> {
    declare(link, endpoint).await?;
    let channel = link.channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

async fn open_consumer(
    link: &Link,
    endpoint: &MqEndpoint,
    reading: Reading,
) -> lapin::Result<(Channel, Consumer)> {
    let address = &endpoint.address;
    if reading == Reading::Shared {
        declare(link, endpoint).await?;
    }
    let channel = link.channel().await?;
    let own = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue = match (reading, address.node) {
        (Reading::Shared, NodeType::Queue) => address.name.as_str().into(),
        (Reading::Exclusive, _) => channel
            .queue_declare(address.name.as_str().into(), own, FieldTable::default())
            .await?
            .name()
            .clone(),
        (Reading::Shared, NodeType::Topic) => {
            let queue = channel
                .queue_declare("".into(), own, FieldTable::default())
                .await?
                .name()
                .clone();
            let key = address.subject.as_deref().unwrap_or("#");
            let options = QueueBindOptions::default();
            channel
                .queue_bind(
                    queue.clone(),
                    address.name.as_str().into(),
                    key.into(),
                    options,
                    FieldTable::default(),
                )
                .await?;
            queue
        }
    };
    channel
        .basic_qos(endpoint.prefetch, BasicQosOptions { global: false })
        .await?;
    let consumer = channel
        .basic_consume(
            queue,
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((channel, consumer))
}

/// An endpoint that is open for writing.
#[derive(Debug)]
pub(crate) struct AmqpPublisher {
    link: Arc<Link>,
    endpoint: MqEndpoint,
    channel: Channel,
}

impl AmqpPublisher {
    pub(super) async fn publish(&self, parcel: &Parcel) -> Result<(), PublishError> {
        let lost = |error: lapin::Error| PublishError::Lost(error.to_string());
        let address = &self.endpoint.address;
        let (exchange, key, mandatory) = match (&parcel.queue, address.node) {
            (Some(queue), _) => ("", &**queue, true),
            (None, NodeType::Queue) => ("", address.name.as_str(), true),
            // A broadcast that nobody hears is no error.
            (None, NodeType::Topic) => (
                address.name.as_str(),
                address.subject.as_deref().unwrap_or_default(),
                false,
            ),
        };
        let options = BasicPublishOptions {
            mandatory,
            ..BasicPublishOptions::default()
        };
        let confirm = self
            .channel
            .basic_publish(
                exchange.into(),
                key.into(),
                options,
                &parcel.body,
                properties(parcel),
            )
            .await
            .map_err(lost)?;
        let confirmation = confirm.await.map_err(lost)?;
        let is_taken = !confirmation.is_nack();
        match confirmation.take_message() {
            Some(_) => Err(PublishError::Unroutable(key.to_owned())),
            None if is_taken => Ok(()),
            None => Err(PublishError::Rejected),
        }
    }

    pub(super) async fn recovered(&mut self) {
        let (link, endpoint) = (&self.link, &self.endpoint);
        self.channel = link
            .reopen(endpoint, || open_publisher(link, endpoint))
            .await;
    }

    pub(super) async fn redeclare(&self) -> bool {
        self.endpoint.address.create && declare(&self.link, &self.endpoint).await.is_ok()
    }
}

fn properties(parcel: &Parcel) -> BasicProperties {
    // 1 is transient, 2 persistent.
    let mut properties =
        BasicProperties::default().with_delivery_mode(if parcel.is_persistent { 2 } else { 1 });
    if parcel.is_batch {
        properties = properties.with_content_type(batch::CONTENT_TYPE.into());
    }
    if let Some(left) = parcel.expires_in {
        properties = properties.with_expiration(left.as_millis().to_string().into());
    }
    properties
}

/// An endpoint that is open for reading.
#[derive(Debug)]
pub(crate) struct AmqpConsumer {
    link: Arc<Link>,
    endpoint: MqEndpoint,
    reading: Reading,
    channel: Channel,
    consumer: Consumer,
}

impl AmqpConsumer {
    pub(super) async fn next(&mut self) -> Delivery {
        loop {
            match self.consumer.next().await {
                Some(Ok(delivery)) => return received(delivery),
                Some(Err(error)) => {
                    tracing::warn!(
                        endpoint = self.endpoint.name,
                        "reading was interrupted: {error}"
                    );
                    self.reopen().await;
                }
                None => self.reopen().await,
            }
        }
    }

    async fn reopen(&mut self) {
        // What this channel has not acknowledged goes back to the queue.
        let _ = self.channel.close(200, "reopened".into()).await;
        let (link, endpoint, reading) = (&self.link, &self.endpoint, self.reading);
        (self.channel, self.consumer) = link
            .reopen(endpoint, || open_consumer(link, endpoint, reading))
            .await;
    }
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

/// Acknowledges one delivery.
#[derive(Debug)]
pub(crate) struct AmqpAck(Box<lapin::message::Delivery>);

impl AmqpAck {
    pub(super) async fn acknowledge(self) {
        // Of a connection that is lost nothing can be acknowledged: the broker
        // delivers again.
        let _ = self.0.acker.ack(BasicAckOptions::default()).await;
    }
}
