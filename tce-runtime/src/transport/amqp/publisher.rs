//! Publishing, with confirmations where they change the outcome.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, ChannelFlowOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::timeout;

use super::{
    PERSISTENT,
    connection::{
        ATTEMPT_TIME, AmqpError, BrokerChannel, BrokerConnection, Declaration, attempt, reopen,
    },
    filter::DELIVERIES,
    pace::AttemptPace,
};
use crate::{
    config::{MqEndpoint, NodeType},
    transport::{
        batch,
        delivery::{Publication, PublishError},
    },
};

/// AMQP's delivery mode of messages that a restart of the broker loses.
const TRANSIENT: u8 = 1;
/// The longest expiration that RabbitMQ accepts, in milliseconds.
const EXPIRATION_MAX: u128 = u32::MAX as u128;

/// An endpoint that is open for publishing.
#[derive(Debug)]
pub(crate) struct AmqpPublisher {
    connection: Arc<BrokerConnection>,
    endpoint: MqEndpoint,
    channel: BrokerChannel,
    pace: AttemptPace,
    /// The number of the last message that is to be confirmed.
    last_number: AtomicU64,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
struct PublishTarget<'a> {
    exchange: &'a str,
    key: &'a str,
    /// Whether the broker returns a message that no queue receives.
    is_mandatory: bool,
}

impl AmqpPublisher {
    pub(super) async fn open(
        connection: Arc<BrokerConnection>,
        endpoint: &MqEndpoint,
    ) -> Result<Self, AmqpError> {
        if let Some(declaration) = Declaration::of(&endpoint.address) {
            connection.declare(&declaration).await?;
        }
        let channel = connection.channel().await?;
        if is_confirmed(endpoint) {
            let options = ConfirmSelectOptions::default();
            channel.confirm_select(options).await?;
        }
        Ok(Self {
            connection,
            endpoint: endpoint.clone(),
            channel,
            pace: AttemptPace::default(),
            last_number: AtomicU64::new(0),
        })
    }

    pub(crate) async fn publish(&self, publication: &Publication) -> Result<(), PublishError> {
        if let Some(reason) = self.channel.control.blocked_reason() {
            return Err(PublishError::Blocked(reason));
        }
        let route = self.route(publication);
        let number = (self.is_confirmed() || publication.is_mandatory)
            .then(|| self.last_number.fetch_add(1, Ordering::Relaxed) + 1);
        let confirmation = self.send(publication, route, number).await?;
        if publication.is_mandatory && !self.is_confirmed() {
            // The broker answers in order: it has returned the message by then, or never
            // will.
            self.heard().await;
        }
        let is_returned = number.is_some_and(|number| {
            self.channel
                .control
                .take_returned(self.channel.id(), number)
        });
        if confirmation.is_nack() {
            Err(PublishError::Rejected)
        } else if is_returned && !route.exchange.is_empty() {
            Err(PublishError::NoReader(route.exchange.to_owned()))
        } else if is_returned {
            Err(PublishError::Unroutable(route.key.to_owned()))
        } else {
            Ok(())
        }
    }

    async fn send(
        &self,
        publication: &Publication,
        route: PublishTarget<'_>,
        number: Option<u64>,
    ) -> Result<lapin::Confirmation, AmqpError> {
        let options = BasicPublishOptions {
            mandatory: route.is_mandatory,
            ..BasicPublishOptions::default()
        };
        let sent = self.channel.basic_publish(
            ShortString::try_new(route.exchange)?,
            ShortString::try_new(route.key)?,
            options,
            &publication.body,
            properties(publication, number)?,
        );
        Ok(sent.await?.await?)
    }

    fn route<'a>(&'a self, publication: &'a Publication) -> PublishTarget<'a> {
        let address = &self.endpoint.address;
        match (&publication.queue, address.node) {
            (None, NodeType::Topic) => PublishTarget {
                exchange: &address.name,
                key: address.subject.as_deref().unwrap_or_default(),
                // A broadcast without a reader is no error, unless its caller says so.
                is_mandatory: publication.is_mandatory,
            },
            (queue, _) => PublishTarget {
                exchange: "",
                key: queue.as_deref().unwrap_or(&address.name),
                // The confirmation of a returned message reports it.
                is_mandatory: self.is_confirmed(),
            },
        }
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        is_confirmed(&self.endpoint)
    }

    pub(crate) async fn heard(&self) {
        // The flow is active anyway; the broker answers in order. If the channel
        // is lost the next publication reports it.
        let asking = self
            .channel
            .channel_flow(ChannelFlowOptions { active: true });
        let _ = timeout(ATTEMPT_TIME, asking).await;
    }

    pub(crate) async fn lost(&self) {
        self.channel.control.lost().await;
    }

    pub(crate) async fn blocked(&self) -> String {
        self.channel.control.blocked().await
    }

    pub(crate) async fn unblocked(&self) {
        self.channel.control.unblocked().await;
    }

    pub(crate) async fn recovered(&mut self) {
        let open = || Self::open(Arc::clone(&self.connection), &self.endpoint);
        let opened = reopen(&self.endpoint, &self.pace, open).await;
        *self = Self {
            pace: std::mem::take(&mut self.pace),
            ..opened
        };
    }

    pub(crate) async fn redeclare(&self) -> bool {
        let Some(declaration) = Declaration::of(&self.endpoint.address) else {
            return false;
        };
        let declaring = self.connection.declare(&declaration);
        attempt(&self.endpoint, declaring).await.is_ok()
    }
}

/// Whether the broker confirms each message. A confirmation costs a quarter of a
/// call. It is requested where it changes the outcome: for durable queues, and
/// for queues that another program declares and that may be missing. RETURNs to
/// the queue that a caller names, and transient messages to a queue that this
/// program declares, go without.
fn is_confirmed(endpoint: &MqEndpoint) -> bool {
    let address = &endpoint.address;
    let is_foreign = !address.create && !address.name.is_empty();
    address.durable || is_foreign
}

impl From<AmqpError> for PublishError {
    fn from(error: AmqpError) -> Self {
        match error {
            AmqpError::Refused { text, .. } => Self::Refused(text),
            AmqpError::Lost(text) => Self::Lost(text),
        }
    }
}

/// The properties of a message; `number` identifies it if it is returned.
pub(super) fn properties(
    publication: &Publication,
    number: Option<u64>,
) -> Result<BasicProperties, AmqpError> {
    let mode = if publication.is_persistent {
        PERSISTENT
    } else {
        TRANSIENT
    };
    let mut properties = BasicProperties::default().with_delivery_mode(mode);
    if publication.is_batch {
        properties = properties.with_content_type(batch::CONTENT_TYPE.into());
    }
    if let Some(left) = publication.expires_in {
        let millis = left.as_millis().min(EXPIRATION_MAX);
        properties = properties.with_expiration(millis.to_string().into());
    }
    if let Some(number) = number {
        properties = properties.with_message_id(number.to_string().into());
    }
    if publication.deliveries > 0 {
        let mut headers = FieldTable::default();
        headers.insert(
            DELIVERIES.into(),
            AMQPValue::LongUInt(publication.deliveries),
        );
        properties = properties.with_headers(headers);
    }
    if let Some(user) = &publication.user_id {
        properties = properties.with_user_id(ShortString::try_new(&**user)?);
    }
    Ok(properties)
}
