//! Publishing, with confirms where they are worth a message each.

use std::{sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, ErrorKind,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ChannelFlowOptions, ConfirmSelectOptions},
    protocol::AMQPErrorKind,
};

use super::{
    PERSISTENT, TRANSIENT,
    link::{Life, Link, reopen},
};
use crate::{
    config::{MqEndpoint, NodeType},
    transport::mq::{Parcel, PublishError, batch},
};

/// An endpoint that is open for writing.
#[derive(Debug)]
pub(crate) struct AmqpPublisher {
    link: Arc<Link>,
    endpoint: MqEndpoint,
    channel: Channel,
    life: Life,
}

/// Where a parcel goes.
struct Way<'a> {
    exchange: &'a str,
    key: &'a str,
    /// Whether it is an error that nobody gets it.
    is_mandatory: bool,
}

impl AmqpPublisher {
    pub(super) async fn open(link: Arc<Link>, endpoint: &MqEndpoint) -> lapin::Result<Self> {
        link.declare(endpoint).await?;
        let (channel, life) = link.channel().await?;
        if is_confirmed(endpoint) {
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
        }
        Ok(Self {
            link,
            endpoint: endpoint.clone(),
            channel,
            life,
        })
    }

    pub(crate) async fn publish(&self, parcel: &Parcel) -> Result<(), PublishError> {
        let way = self.way(parcel);
        let options = BasicPublishOptions {
            mandatory: way.is_mandatory,
            ..BasicPublishOptions::default()
        };
        let publishing = self.channel.basic_publish(
            way.exchange.into(),
            way.key.into(),
            options,
            &parcel.body,
            properties(parcel),
        );
        let failed = |error| failure(&error);
        let confirmation = publishing.await.map_err(failed)?.await.map_err(failed)?;
        let is_taken = !confirmation.is_nack();
        match confirmation.take_message() {
            Some(returned) => Err(came_back(returned, parcel, &way)),
            None if is_taken => Ok(()),
            None => Err(PublishError::Rejected),
        }
    }

    fn way<'a>(&'a self, parcel: &'a Parcel) -> Way<'a> {
        let address = &self.endpoint.address;
        match (&parcel.queue, address.node) {
            (None, NodeType::Topic) => Way {
                exchange: &address.name,
                key: address.subject.as_deref().unwrap_or_default(),
                // A broadcast that nobody hears is no error.
                is_mandatory: false,
            },
            (queue, _) => Way {
                exchange: "",
                key: queue.as_deref().unwrap_or(&address.name),
                // What comes back is told with the confirmation.
                is_mandatory: is_confirmed(&self.endpoint),
            },
        }
    }

    /// Whether a publish is done only when the broker has said so.
    pub(crate) fn is_confirmed(&self) -> bool {
        is_confirmed(&self.endpoint)
    }

    pub(crate) async fn heard(&self) {
        // "Go on", which the broker does anyway; it answers in order. Where the
        // channel is broken the next publish tells.
        let options = ChannelFlowOptions { active: true };
        let _ = self.channel.channel_flow(options).await;
    }

    /// Waits until the broker is lost.
    pub(crate) async fn lost(&self) {
        self.life.clone().end().await;
    }

    pub(crate) async fn recovered(&mut self) {
        let open = || Self::open(Arc::clone(&self.link), &self.endpoint);
        *self = reopen(&self.endpoint, open).await;
    }

    pub(crate) async fn redeclare(&self) -> bool {
        self.endpoint.address.create && self.link.declare(&self.endpoint).await.is_ok()
    }
}

/// Whether the broker has to say that it has each message, or that its queue
/// does not exist. A confirmation costs a quarter of a call. It is not asked for
/// where it changes nothing: transient messages to a queue that we have
/// declared, and RETURNs to the queue that a caller has named. In batches it
/// says when the next one may leave.
fn is_confirmed(endpoint: &MqEndpoint) -> bool {
    let address = &endpoint.address;
    let is_anothers = !address.create && !address.name.is_empty();
    address.durable || endpoint.batch || is_anothers
}

/// What a broken publish means. What the broker has against the message ends
/// the channel alone; whatever else, the connection.
fn failure(error: &lapin::Error) -> PublishError {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) if matches!(refusal.kind(), AMQPErrorKind::Soft(_)) => {
            PublishError::Refused(refusal.get_message().to_string())
        }
        _ => PublishError::Lost(error.to_string()),
    }
}

/// What a message that came back means for `parcel`, at whose confirmation it
/// was found.
///
/// One acknowledgement may confirm many messages, and which of them came back
/// is not told with it: a returned message is known by itself alone.
fn came_back(returned: BasicReturnMessage, parcel: &Parcel, way: &Way<'_>) -> PublishError {
    let message = returned.delivery;
    if message.data == parcel.body && message.routing_key.as_str() == way.key {
        return PublishError::Unroutable(way.key.to_owned());
    }
    let properties = &message.properties;
    let content_type = properties.content_type().as_ref();
    let expiration = properties.expiration().as_ref();
    PublishError::OtherCameBack(Box::new(Parcel {
        queue: Some(message.routing_key.as_str().into()),
        is_persistent: *properties.delivery_mode() == Some(PERSISTENT),
        expires_in: expiration
            .and_then(|text| text.as_str().parse().ok())
            .map(Duration::from_millis),
        is_batch: content_type.is_some_and(|kind| kind.as_str() == batch::CONTENT_TYPE),
        body: message.data,
    }))
}

fn properties(parcel: &Parcel) -> BasicProperties {
    let mode = if parcel.is_persistent {
        PERSISTENT
    } else {
        TRANSIENT
    };
    let mut properties = BasicProperties::default().with_delivery_mode(mode);
    if parcel.is_batch {
        properties = properties.with_content_type(batch::CONTENT_TYPE.into());
    }
    if let Some(left) = parcel.expires_in {
        properties = properties.with_expiration(left.as_millis().to_string().into());
    }
    properties
}
