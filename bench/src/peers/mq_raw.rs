//! The floor for message queues: calls over RabbitMQ with lapin used directly. The body of a
//! message is a message number and the text; an answer is matched to its caller by the number.
//!
//! As in tce, queues are durable, messages are persistent only in the confirmed case, and the
//! prefetch is 64. Each message is acknowledged on its own. Publishes and acknowledgements run
//! concurrently, so that lapin combines them into fewer writes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
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
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    case::LoadShape,
    endpoint::{QueuePair, ServerAddress, ServerSetup},
    load::{ConfirmedSender, EchoCaller, LoadGenerator},
    meter::{Measurement, Meter},
    payload::Payload,
};

const PREFETCH: u16 = 64;
/// Limit of oneway messages that are being published at once.
const MAX_PUBLISHING: usize = 256;
/// Bytes of the message number, which precedes the text.
const NUMBER: usize = size_of::<u32>();

const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// A connection to the broker with a channel for publishing to one queue.
struct BrokerClient {
    connection: Connection,
    channel: Channel,
    queue: ShortString,
    properties: BasicProperties,
}

impl BrokerClient {
    async fn open(queues: &QueuePair, queue: String, delivery_mode: u8) -> Result<Self> {
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

    /// Declares and consumes a queue, on a channel of its own.
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
        // On a channel without publisher confirms, the second future is ready at once.
        let confirmation = publish.await?.await?;
        ensure!(!confirmation.is_nack(), "the broker refused a message");
        Ok(())
    }
}

pub(super) async fn server(setup: ServerSetup) -> Result<()> {
    let queues = QueuePair::new(&setup)?;
    let broker = BrokerClient::open(&queues, queues.answers(), TRANSIENT).await?;
    let calls = broker.consume(queues.calls()).await?;
    setup.ready.announce(&queues.to_string())?;
    let is_oneway = matches!(setup.case.shape, LoadShape::Oneway | LoadShape::Confirmed);
    calls
        .err_into()
        .try_for_each_concurrent(None, async |call: Delivery| {
            if is_oneway {
                setup.received.record(text(&call.data)?);
            } else {
                broker.publish(&call.data).await?;
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
    body.get(NUMBER..)
        .context("a message has no message number")
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let queues: QueuePair = server.endpoint.parse()?;
    match load.case.shape {
        LoadShape::Oneway => send_oneway(&queues, server, load).await,
        LoadShape::Confirmed => {
            let sender = PersistentSender::open(&queues, load.case.payload).await?;
            load.send_confirmed(server.control, sender).await
        }
        _ => {
            let caller = QueueCaller::open(&queues).await?;
            load.call(&vec![caller; load.case.shape.connections()])
                .await
        }
    }
}

/// The callers that wait for an answer, by message number.
type PendingAnswers = Arc<Mutex<HashMap<u32, oneshot::Sender<Vec<u8>>>>>;

#[derive(Clone)]
struct QueueCaller {
    broker: Arc<BrokerClient>,
    next_number: Arc<AtomicU32>,
    pending: PendingAnswers,
}

impl QueueCaller {
    async fn open(queues: &QueuePair) -> Result<Self> {
        let broker = BrokerClient::open(queues, queues.calls(), TRANSIENT).await?;
        let answers = broker.consume(queues.answers()).await?;
        let pending = PendingAnswers::default();
        tokio::spawn(deliver(answers, Arc::clone(&pending)));
        Ok(Self {
            broker: Arc::new(broker),
            next_number: Arc::default(),
            pending,
        })
    }
}

/// Delivers answers to their callers. An error drops the pending ones, which fails their calls.
async fn deliver(answers: Consumer, pending: PendingAnswers) -> Result<()> {
    answers
        .err_into()
        .try_for_each_concurrent(None, async |mut answer: Delivery| {
            let (number, _) = answer
                .data
                .split_first_chunk()
                .context("an answer has no message number")?;
            let number = u32::from_le_bytes(*number);
            let caller = pending.lock().remove(&number);
            let caller = caller.with_context(|| format!("no call has the number {number}"))?;
            // Fails if the caller has been dropped, at the end of the measurement.
            let _ = caller.send(std::mem::take(&mut answer.data));
            acknowledge(&answer).await
        })
        .await
}

impl EchoCaller for QueueCaller {
    async fn echo(&mut self, text: &str) -> Result<String> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (caller, answer) = oneshot::channel();
        self.pending.lock().insert(number, caller);
        self.broker.publish(&body(number, text)).await?;
        let mut answer = answer.await?;
        Ok(String::from_utf8(answer.split_off(NUMBER))?)
    }
}

async fn send_oneway(
    queues: &QueuePair,
    server: &ServerAddress,
    load: &LoadGenerator,
) -> Result<Measurement> {
    let broker = BrokerClient::open(queues, queues.calls(), TRANSIENT).await?;
    let meter = Meter::new(1, load.extent)?;
    let body = body(0, Payload::new(0, load.case.payload).text());
    let sender = async {
        let mut publishing = FuturesUnordered::new();
        let mut sent = 0;
        while meter.has_more(sent) {
            if publishing.len() == MAX_PUBLISHING {
                publishing.next().await.transpose()?;
            }
            publishing.push(broker.publish(&body));
            sent += 1;
        }
        while publishing.next().await.transpose()?.is_some() {}
        Ok(sent)
    };
    load.measure_oneway(server.control, &meter, sender).await
}

/// Publishes persistent messages on a channel with publisher confirms.
#[derive(Clone)]
struct PersistentSender {
    broker: Arc<BrokerClient>,
    body: Vec<u8>,
}

impl PersistentSender {
    async fn open(queues: &QueuePair, payload: usize) -> Result<Self> {
        let broker = BrokerClient::open(queues, queues.calls(), PERSISTENT).await?;
        let confirms = ConfirmSelectOptions::default();
        broker.channel.confirm_select(confirms).await?;
        Ok(Self {
            broker: Arc::new(broker),
            body: body(0, Payload::new(0, payload).text()),
        })
    }
}

impl ConfirmedSender for PersistentSender {
    async fn send(&self) -> Result<()> {
        self.broker.publish(&self.body).await
    }
}
