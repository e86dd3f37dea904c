//! The floor: lapin used directly. Persistent messages with confirmations to a quorum queue; the worker
//! acknowledges each one.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
    },
    types::{AMQPValue, FieldTable},
};

use crate::{Servers, stamp, worker::Arrivals};

pub(crate) const QUEUE: &str = "bench.floor";
const PERSISTENT: u8 = 2;
/// As a worker of tce with the default of 2 cores and twice the concurrency asks for 64 tasks.
const PREFETCH: u16 = 128;

async fn open(amqp: &str) -> Result<(Connection, Channel)> {
    let connection = Connection::connect(amqp, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    channel
        .queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    Ok((connection, channel))
}

/// Sends tasks; returns how many were confirmed in a second.
pub(crate) async fn send(servers: &Servers, count: usize, in_flight: usize) -> Result<f64> {
    let (_connection, channel) = open(&servers.amqp).await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let began = Instant::now();
    let publish = async |()| {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let body = stamp()?;
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            "".into(),
            QUEUE.into(),
            options,
            body.as_bytes(),
            properties,
        );
        ensure!(!sent.await?.await?.is_nack(), "the broker refused a task");
        Ok(())
    };
    let sent = stream::repeat(()).take(count).map(publish);
    sent.buffer_unordered(in_flight)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(rate(count, began))
}

/// Removes the tasks of a measurement that has no worker.
pub(crate) async fn purge(servers: &Servers, queue: &str) -> Result<()> {
    let (_connection, channel) = open(&servers.amqp).await?;
    let options = QueuePurgeOptions::default();
    channel.queue_purge(queue.into(), options).await?;
    Ok(())
}

/// Tasks in a second.
pub(crate) fn rate(count: usize, began: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^53")]
    let count = count as f64;
    count / began.elapsed().as_secs_f64()
}

/// Runs tasks until all have arrived.
pub(crate) async fn work(amqp: &str, arrivals: &Arrivals) -> Result<()> {
    let (_connection, channel) = open(amqp).await?;
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let arguments = FieldTable::default();
    let consumer = channel
        .basic_consume(QUEUE.into(), "bench".into(), options, arguments)
        .await?;
    arrivals.announce();
    // Acknowledgements run concurrently, so that lapin combines them into fewer writes.
    let all = consumer.err_into().take(arrivals.expected());
    let working = all.try_for_each_concurrent(None, async |delivery: Delivery| {
        arrivals.record(std::str::from_utf8(&delivery.data)?);
        delivery.ack(BasicAckOptions::default()).await?;
        anyhow::Ok(())
    });
    working.await
}
