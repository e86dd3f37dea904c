//! Messages that end the process that reads them.
//!
//! A broker delivers a message again when its reader dies. One whose handling ends
//! the process would be delivered without end. A quorum queue counts the deliveries
//! of each message (`x-delivery-count`); a classic queue only says that there was
//! one before. So this program counts itself: a message that a classic queue
//! delivers again is published to the end of its queue with the count in a header
//! ([`DELIVERIES`]), the original is acknowledged, and the copy is handled. A message
//! that has reached the limit goes to the dead-letter queue.

use std::{fmt, sync::Arc};

use lapin::types::FieldTable;
use tokio::{sync::Mutex, time::timeout};

use super::{
    connection::{ATTEMPT_TIME, AmqpError, BrokerConnection, Declaration},
    filter::{DELIVERIES, DELIVERY_COUNT},
    publisher::AmqpPublisher,
};
use crate::{
    config::{Address, MqEndpoint, NodeType},
    in_flight::count_dropped,
    transport::delivery::{Delivery, Publication},
};

/// What the name of a dead-letter queue adds to that of the queue.
const DEAD: &str = ".dead";

/// How often a message was delivered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliveryCount {
    before: u32,
    /// Whether the broker counts.
    is_of_broker: bool,
}

impl DeliveryCount {
    pub(super) fn of(headers: Option<&FieldTable>, is_redelivered: bool) -> Self {
        let number = |name: &str| -> Option<u32> {
            // The filter passes nothing but this type.
            let number = headers?.inner().get(name)?.as_long_long_int()?;
            u32::try_from(number.max(0)).ok()
        };
        if let Some(before) = number(DELIVERY_COUNT) {
            let is_of_broker = true;
            return Self {
                before,
                is_of_broker,
            };
        }
        let counted = number(DELIVERIES).unwrap_or(0);
        Self {
            before: counted.saturating_add(u32::from(is_redelivered)),
            is_of_broker: false,
        }
    }

    /// Whether there was a delivery before.
    pub(super) fn is_redelivered(self) -> bool {
        self.before > 0
    }
}

/// Counts the deliveries of one queue.
pub(super) struct PoisonGuard {
    /// The connection that publishes at the same broker.
    connection: Arc<BrokerConnection>,
    /// The queue, as it is published to.
    endpoint: MqEndpoint,
    limit: u32,
    /// Opened when it is first needed; locked meanwhile.
    publisher: Mutex<Option<Arc<AmqpPublisher>>>,
}

impl PoisonGuard {
    /// `None` for an endpoint without a limit, or whose messages are not delivered
    /// twice.
    pub(super) fn new(connection: Arc<BrokerConnection>, endpoint: &MqEndpoint) -> Option<Self> {
        let is_guarded = endpoint.delivery_limit > 0
            && endpoint.address.node == NodeType::Queue
            && !endpoint.exclusive;
        is_guarded.then(|| Self {
            connection,
            endpoint: MqEndpoint {
                // Confirmed: the original is acknowledged only then.
                address: Address {
                    durable: true,
                    create: false,
                    ..endpoint.address.clone()
                },
                ..endpoint.clone()
            },
            limit: endpoint.delivery_limit.into(),
            publisher: Mutex::default(),
        })
    }

    /// Whether a delivery is to be published again, or to the dead-letter queue,
    /// instead of being handled.
    pub(super) fn takes(&self, count: DeliveryCount, is_redelivered: bool) -> bool {
        count.before >= self.limit || is_redelivered && !count.is_of_broker
    }

    /// Publishes a delivery that the guard takes. Returns whether it is done, so that
    /// the original is to be acknowledged.
    pub(super) async fn publish(&self, delivery: &Delivery, count: DeliveryCount) -> bool {
        let name = &self.endpoint.address.name;
        let is_dead = count.before >= self.limit;
        match timeout(ATTEMPT_TIME, self.try_publish(delivery, count, is_dead)).await {
            Ok(Ok(())) => {
                if is_dead {
                    count_dropped("poison");
                    let deliveries = count.before;
                    tracing::error!(
                        queue = name,
                        deliveries,
                        "a message has ended its reader too often and goes to `{name}{DEAD}`"
                    );
                }
                return true;
            }
            Ok(Err(error)) => {
                tracing::warn!(queue = name, "can't count a redelivered message: {error}");
            }
            Err(_) => tracing::warn!(
                queue = name,
                "can't count a redelivered message: the broker does not answer"
            ),
        }
        *self.publisher.lock().await = None;
        false
    }

    async fn publisher(&self) -> Result<Arc<AmqpPublisher>, AmqpError> {
        let mut publisher = self.publisher.lock().await;
        if let Some(publisher) = &*publisher {
            return Ok(Arc::clone(publisher));
        }
        let opening = AmqpPublisher::open(Arc::clone(&self.connection), &self.endpoint);
        Ok(Arc::clone(publisher.insert(Arc::new(opening.await?))))
    }

    async fn try_publish(
        &self,
        delivery: &Delivery,
        count: DeliveryCount,
        is_dead: bool,
    ) -> Result<(), String> {
        let publisher = self.publisher().await.map_err(|error| error.to_string())?;
        let mut publication = Publication {
            body: delivery.body.clone(),
            queue: None,
            is_persistent: delivery.is_persistent,
            expires_in: delivery.expires_in,
            is_batch: delivery.is_batch,
            is_mandatory: false,
            user_id: None,
            deliveries: count.before,
        };
        if is_dead {
            let dead = format!("{}{DEAD}", self.endpoint.address.name);
            let declaration = Declaration {
                name: &dead,
                node: NodeType::Queue,
                arguments: FieldTable::default(),
            };
            let declaring = self.connection.declare(&declaration);
            declaring.await.map_err(|error| error.to_string())?;
            publication.queue = Some(dead.as_str().into());
            publication.is_persistent = true;
            publication.expires_in = None;
        }
        let publishing = publisher.publish(&publication);
        publishing.await.map_err(|error| error.to_string())
    }
}

impl fmt::Debug for PoisonGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoisonGuard")
            .field("queue", &self.endpoint.address.name)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
