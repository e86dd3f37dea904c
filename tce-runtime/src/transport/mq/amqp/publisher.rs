//! Publishing, with confirms where they are worth a message each.

use std::sync::Arc;

use super::{
    channel::Channel,
    confirms::Confirmation,
    error::AmqpError,
    frame::Way,
    link::{Link, attempt, reopen},
};
use crate::{
    config::{MqEndpoint, NodeType},
    transport::mq::{Publication, PublishError},
};

/// An endpoint that is open for writing.
#[derive(Debug)]
pub(crate) struct AmqpPublisher {
    link: Arc<Link>,
    endpoint: MqEndpoint,
    channel: Channel,
}

impl AmqpPublisher {
    pub(super) async fn open(link: Arc<Link>, endpoint: &MqEndpoint) -> Result<Self, AmqpError> {
        link.declare(endpoint).await?;
        let channel = link.channel().await?;
        if is_confirmed(endpoint) {
            channel.select_confirms().await?;
        }
        Ok(Self {
            link,
            endpoint: endpoint.clone(),
            channel,
        })
    }

    pub(crate) async fn publish(&self, publication: &Publication) -> Result<(), PublishError> {
        let way = self.way(publication);
        let publishing = self.channel.publish(way, publication, self.is_confirmed());
        match publishing.await.map_err(failure)? {
            None | Some(Confirmation::Taken) => Ok(()),
            Some(Confirmation::Refused) => Err(PublishError::Rejected),
            Some(Confirmation::CameBack) => Err(PublishError::Unroutable(way.key.to_owned())),
        }
    }

    fn way<'a>(&'a self, publication: &'a Publication) -> Way<'a> {
        let address = &self.endpoint.address;
        match (&publication.queue, address.node) {
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
        // Where the channel is broken the next publish tells.
        let _ = self.channel.heard().await;
    }

    /// Waits until the broker is lost.
    pub(crate) async fn lost(&self) {
        self.channel.lost().await;
    }

    pub(crate) async fn recovered(&mut self) {
        let open = || Self::open(Arc::clone(&self.link), &self.endpoint);
        *self = reopen(&self.endpoint, open).await;
    }

    pub(crate) async fn redeclare(&self) -> bool {
        let declaring = self.link.declare(&self.endpoint);
        self.endpoint.address.create && attempt(&self.endpoint, declaring).await.is_ok()
    }
}

/// Whether the broker has to say that it has each message, or that its queue
/// does not exist. A confirmation costs a quarter of a call. It is not asked for
/// where it changes nothing: transient messages to a queue that we have
/// declared, and RETURNs to the queue that a caller has named.
fn is_confirmed(endpoint: &MqEndpoint) -> bool {
    let address = &endpoint.address;
    let is_anothers = !address.create && !address.name.is_empty();
    address.durable || is_anothers
}

/// What a broken publish means. What the broker has against the message ends
/// the channel alone; whatever else, the connection.
fn failure(error: AmqpError) -> PublishError {
    match error {
        AmqpError::Refused { text, .. } => PublishError::Refused(text),
        AmqpError::Lost(text) => PublishError::Lost(text),
    }
}
