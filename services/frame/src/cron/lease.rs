//! The lease of a crontab: a queue with a single active consumer, who is the holder.
//!
//! Whether an agent is the holder is known from the queue alone: it publishes a token and gets it
//! back. Others get nothing. The broker names the next consumer when it loses the connection of the
//! present one, at once when that is closed and after 6 to 9 s of silence.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Connection,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::timeout_at;
use uuid::Uuid;

use super::token::Token;
use crate::broker::{Broker, BrokerError, Publisher, request, short, text};

/// Of the connection that consumes, in seconds: the broker misses it after at most three times this.
const HEARTBEAT: u16 = 3;
/// How long after a proof the holder is still the holder: less than the broker waits for a heartbeat.
const PROOF_TIME: Duration = Duration::from_secs(4);
/// How long a token may take through the broker and back.
const ROUND_TRIP: Duration = Duration::from_secs(5);
/// Tokens that are delivered ahead of their acknowledgement. Each agent sends one a minute.
const PREFETCH: u16 = 5000;
/// 4.x drops a message after 20 deliveries without another limit.
const DELIVERY_LIMIT: i32 = 1_000_000;
/// AMQP's delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// The time since the start of the machine, in which it was suspended, too. A process that was stopped
/// sees the whole time pass.
pub(crate) fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Why this agent is not, or no longer, the holder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    #[error("{0}")]
    Broker(#[from] BrokerError),
    #[error("the lease is lost")]
    Lost,
}

/// One consumer of the queue, which may or may not be the active one.
pub(crate) struct Lease {
    publisher: Arc<Publisher>,
    queue: String,
    agent: String,
    connection: Connection,
    channel: Channel,
    consumer: lapin::Consumer,
    /// Deliveries whose contents are merged, and that are acknowledged after the next publication.
    received: Vec<u64>,
    token: Token,
    last_mark: u64,
    /// When the last token was published that came back.
    proven_at: Option<Duration>,
}

impl Lease {
    /// Subscribes.
    pub(crate) async fn open(
        broker: &Broker,
        publisher: &Arc<Publisher>,
        crontab: &str,
        agent: &str,
    ) -> Result<Self, BrokerError> {
        let queue = broker.cron_queue(crontab);
        let connection = broker.connect("lease", HEARTBEAT).await?;
        let channel = request(connection.create_channel()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments.insert(
            "x-delivery-limit".into(),
            AMQPValue::LongInt(DELIVERY_LIMIT),
        );
        let options = QueueDeclareOptions::durable();
        request(channel.queue_declare(short(&queue), options, arguments)).await?;
        request(channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(short(&queue), short(agent), options, FieldTable::default());
        let consumer = request(consuming).await?;
        let lease = Self {
            publisher: Arc::clone(publisher),
            queue,
            agent: agent.to_owned(),
            connection,
            channel,
            consumer,
            received: Vec::new(),
            token: Token::default(),
            // Tokens of other agents and of earlier connections must not be taken for one of this one.
            last_mark: u64::from_be_bytes(
                *Uuid::new_v4().as_bytes().first_chunk().unwrap_or(&[0; 8]),
            ),
            proven_at: None,
        };
        lease.announce().await?;
        Ok(lease)
    }

    /// Publishes an empty token, so that the holder, whoever it is, gets one.
    pub(crate) async fn announce(&self) -> Result<(), BrokerError> {
        self.publish(&Token::default()).await
    }

    async fn publish(&self, token: &Token) -> Result<(), BrokerError> {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        self.publisher
            .publish(&self.queue, &token.to_bytes(), properties)
            .await
    }

    /// Makes this agent the holder, of the next epoch, after a delivery has shown that it is the active
    /// consumer. Returns whether the previous holder has ended its jobs.
    pub(crate) async fn acquire(&mut self) -> Result<bool, LeaseError> {
        // What was in the queue before this token comes before it.
        self.round_trip().await?;
        let was_released = self.token.epoch == 0 || self.token.is_released;
        self.token.epoch += 1;
        self.token.holder.clone_from(&self.agent);
        self.token.is_released = false;
        self.round_trip().await?;
        Ok(was_released)
    }

    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    pub(crate) fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }

    /// Whether this agent was the holder so shortly ago that no other one can be.
    pub(crate) fn is_proven(&self) -> bool {
        self.proof_age() < PROOF_TIME
    }

    /// How long ago the token was published that came back last.
    pub(crate) fn proof_age(&self) -> Duration {
        let age = self.proven_at.map(|at| boot_time().saturating_sub(at));
        age.unwrap_or(Duration::MAX)
    }

    /// Publishes the token, and waits until it comes back: no other agent is the active consumer then.
    pub(crate) async fn round_trip(&mut self) -> Result<(), LeaseError> {
        let began = boot_time();
        let deadline = Instant::now() + ROUND_TRIP;
        self.last_mark = self.last_mark.wrapping_add(1);
        self.token.mark = self.last_mark;
        let before = std::mem::take(&mut self.received);
        let published = self.token.clone();
        self.publish(&published).await?;
        let returned = async {
            loop {
                let token = self.receive().await?;
                if token.mark == published.mark {
                    return Ok::<_, LeaseError>(());
                }
            }
        };
        timeout_at(deadline.into(), returned)
            .await
            .map_err(|_| LeaseError::Lost)??;
        // The new token holds all that these hold.
        for tag in before {
            let acknowledging = self.channel.basic_ack(tag, BasicAckOptions::default());
            request(acknowledging).await?;
        }
        self.proven_at = Some(began);
        Ok(())
    }

    /// Merges the next delivery. Cancel safe.
    pub(crate) async fn receive(&mut self) -> Result<Token, LeaseError> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => {
                self.received.push(delivery.delivery_tag);
                let token = Token::parse(&delivery.data).unwrap_or_default();
                self.token.merge(&token);
                Ok(token)
            }
            Some(Err(_)) | None => Err(LeaseError::Lost),
        }
    }

    /// Says that the jobs have ended, and closes the connection: the broker names the next holder.
    pub(crate) async fn release(mut self) {
        self.token.is_released = true;
        let token = self.token.clone();
        if let Err(error) = self.publish(&token).await {
            tracing::debug!("the lease is not released: {error}");
        }
        if let Err(error) = request(self.connection.close(200, "released".into())).await {
            tracing::debug!("the connection of the lease is not closed: {error}");
        }
    }
}
