//! The floor for message queues: calls over RabbitMQ by lapin, written by hand. A message's body
//! is the caller's number and the text; answers find their callers by that number.
//!
//! As tce does it: queues that survive the broker, messages that do so only where they are
//! confirmed, 64 messages sent ahead of their acknowledgement, one acknowledgement for each.
//! Publishes and acknowledgements run concurrently, which lapin gathers into fewer writes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};
use tokio::{sync::oneshot, task::JoinSet};

use super::{Stand, tce_mq::sum};
use crate::{
    case::Shape,
    endpoint::Queues,
    load::{Client, Load},
    meter::{Measurement, Meter},
    payload::Payload,
    process::Address,
};

const PREFETCH: u16 = 64;
/// The oneway messages that may be on their way to the broker at once.
const PUBLISHING: usize = 256;
/// The caller's number in front of the text.
const NUMBER: usize = size_of::<u32>();

const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// A connection with a channel to publish by.
struct Publisher {
    connection: Connection,
    channel: Channel,
    queue: ShortString,
    properties: BasicProperties,
}

impl Publisher {
    async fn open(queues: &Queues, queue: String, delivery_mode: u8) -> Result<Self> {
        let uri = format!("amqp://{}/%2f", queues.broker);
        let connection = Connection::connect(&uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok(Self {
            connection,
            channel,
            queue: queue.into(),
            properties: BasicProperties::default().with_delivery_mode(delivery_mode),
        })
    }

    /// Reads a queue, by a channel of its own.
    async fn consume(&self, queue: String) -> Result<Consumer> {
        let queue = ShortString::from(queue);
        let channel = self.connection.create_channel().await?;
        let durable = QueueDeclareOptions::durable();
        channel
            .queue_declare(queue.clone(), durable, FieldTable::default())
            .await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let options = BasicConsumeOptions::default();
        Ok(channel
            .basic_consume(
                queue,
                ShortString::default(),
                options,
                FieldTable::default(),
            )
            .await?)
    }

    async fn publish(&self, body: &[u8]) -> Result<()> {
        let options = BasicPublishOptions::default();
        let (queue, properties) = (self.queue.clone(), self.properties.clone());
        let publish =
            self.channel
                .basic_publish(ShortString::default(), queue, options, body, properties);
        // Where no confirmation was asked for, none is waited for.
        let confirmation = publish.await?.await?;
        ensure!(!confirmation.is_nack(), "the broker refused a message");
        Ok(())
    }
}

pub(super) async fn server(stand: Stand) -> Result<()> {
    let queues = Queues::new(&stand)?;
    let publisher = Publisher::open(&queues, queues.answers(), TRANSIENT).await?;
    let calls = publisher.consume(queues.calls()).await?;
    stand.ready.announce(&queues.to_string())?;
    let is_oneway = matches!(stand.case.shape, Shape::Oneway | Shape::Confirmed);
    calls
        .err_into()
        .try_for_each_concurrent(None, async |call: Delivery| {
            if is_oneway {
                stand.received.note(text(&call.data)?);
            } else {
                publisher.publish(&call.data).await?;
            }
            acknowledge(&call).await
        })
        .await
}

async fn acknowledge(delivery: &Delivery) -> Result<()> {
    delivery.acker.ack(BasicAckOptions::default()).await?;
    Ok(())
}

fn body(number: u32, text: &str) -> Vec<u8> {
    [&number.to_le_bytes(), text.as_bytes()].concat()
}

fn text(body: &[u8]) -> Result<&[u8]> {
    body.get(NUMBER..).context("a message without a number")
}

pub(super) async fn client(server: &Address, load: &Load) -> Result<Measurement> {
    let queues: Queues = server.endpoint.parse()?;
    match load.case.shape {
        Shape::Oneway => send_oneway(&queues, server, load).await,
        Shape::Confirmed => send_confirmed(&queues, server, load).await,
        _ => {
            let caller = Caller::open(&queues).await?;
            load.call(&vec![caller; load.case.shape.connections()])
                .await
        }
    }
}

/// Who waits for which answer.
type Waiting = Arc<Mutex<HashMap<u32, oneshot::Sender<Vec<u8>>>>>;

#[derive(Clone)]
struct Caller {
    publisher: Arc<Publisher>,
    next: Arc<AtomicU32>,
    waiting: Waiting,
}

impl Caller {
    async fn open(queues: &Queues) -> Result<Self> {
        let publisher = Publisher::open(queues, queues.calls(), TRANSIENT).await?;
        let answers = publisher.consume(queues.answers()).await?;
        let waiting = Waiting::default();
        tokio::spawn(hand_out(answers, Arc::clone(&waiting)));
        Ok(Self {
            publisher: Arc::new(publisher),
            next: Arc::default(),
            waiting,
        })
    }
}

/// Gives answers to their callers. Where that fails, callers find that nobody will answer.
async fn hand_out(answers: Consumer, waiting: Waiting) -> Result<()> {
    answers
        .err_into()
        .try_for_each_concurrent(None, async |mut answer: Delivery| {
            let (number, _) = answer.data.split_first_chunk().context("no number")?;
            let number = u32::from_le_bytes(*number);
            let caller = lock(&waiting).remove(&number);
            let caller = caller.context("an answer for nobody")?;
            // A caller that is gone needs no answer.
            let _ = caller.send(std::mem::take(&mut answer.data));
            acknowledge(&answer).await
        })
        .await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client for Caller {
    async fn echo(&mut self, text: &str) -> Result<String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (caller, answer) = oneshot::channel();
        lock(&self.waiting).insert(number, caller);
        self.publisher.publish(&body(number, text)).await?;
        let mut answer = answer.await?;
        Ok(String::from_utf8(answer.split_off(NUMBER))?)
    }
}

async fn send_oneway(queues: &Queues, server: &Address, load: &Load) -> Result<Measurement> {
    let publisher = Publisher::open(queues, queues.calls(), TRANSIENT).await?;
    let meter = Meter::new(1)?;
    let body = body(0, Payload::new(0, load.case.payload).text());
    let sender = async {
        let mut publishing = FuturesUnordered::new();
        let mut sent = 0;
        while !meter.is_over() {
            if publishing.len() == PUBLISHING {
                publishing.next().await.transpose()?;
            }
            publishing.push(publisher.publish(&body));
            sent += 1;
        }
        while publishing.next().await.transpose()?.is_some() {}
        Ok(sent)
    };
    load.measure_oneway(server.control, &meter, sender).await
}

async fn send_confirmed(queues: &Queues, server: &Address, load: &Load) -> Result<Measurement> {
    let publisher = Publisher::open(queues, queues.calls(), PERSISTENT).await?;
    let confirms = ConfirmSelectOptions::default();
    publisher.channel.confirm_select(confirms).await?;
    let publisher = Arc::new(publisher);
    let meter = Arc::new(Meter::new(1)?);
    let body = body(0, Payload::new(0, load.case.payload).text());
    let mut senders = JoinSet::new();
    for _ in 0..load.case.shape.in_flight() {
        let (publisher, meter, body) = (Arc::clone(&publisher), Arc::clone(&meter), body.clone());
        senders.spawn(async move {
            let mut sent = 0;
            while !meter.is_over() {
                publisher.publish(&body).await?;
                sent += 1;
            }
            Ok(sent)
        });
    }
    load.measure_oneway(server.control, &meter, sum(senders))
        .await
}
