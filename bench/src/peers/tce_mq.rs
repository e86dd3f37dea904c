//! tce over RabbitMQ, by the same generated code: the queues are named in a configuration as
//! programs load it from `config.yml`. The two ends have communicators of their own.

use std::{future::pending, sync::Arc};

use anyhow::Result;
use tce_runtime::{Adapter, Communicator, config::MqConfig};
use tokio::task::JoinSet;

use super::{
    Stand,
    tce::{EchoPrx, send_oneway, servant},
};
use crate::{
    case::Shape,
    endpoint::Queues,
    load::Load,
    meter::{Measurement, Meter},
    payload::Payload,
    process::Address,
};

pub(super) async fn server(stand: Stand, in_batches: bool) -> Result<()> {
    let queues = Queues::new(&stand)?;
    let communicator = open(&queues, stand.case.shape, in_batches, "server").await?;
    let adapter = Adapter::listen(&communicator, "mq:calls").await?;
    adapter.add_servant(servant(stand.received)).start();
    stand.ready.announce(&queues.to_string())?;
    pending().await
}

pub(super) async fn client(server: &Address, load: &Load, in_batches: bool) -> Result<Measurement> {
    let shape = load.case.shape;
    let queues: Queues = server.endpoint.parse()?;
    let communicator = open(&queues, shape, in_batches, "client").await?;
    let client = EchoPrx::connect(&communicator, "mq:calls").await?;
    match shape {
        Shape::Oneway => send_oneway(&client, server, load).await,
        Shape::Confirmed => send_confirmed(&client, server, load).await,
        _ => load.call(&[client]).await,
    }
}

async fn open(
    queues: &Queues,
    shape: Shape,
    in_batches: bool,
    process: &str,
) -> Result<Communicator> {
    let communicator = Communicator::new();
    let text = configuration(queues, shape == Shape::Confirmed, in_batches);
    let config = MqConfig::parse(&text, "the benchmark's configuration", process)?;
    communicator.open_mq(config).await?;
    Ok(communicator)
}

fn configuration(queues: &Queues, is_durable: bool, in_batches: bool) -> String {
    let (host, port) = (queues.broker.ip(), queues.broker.port());
    let batch = u8::from(in_batches);
    let endpoint = |name, queue: &str| {
        format!(
            "    - {{name: {name}, type: mq, host: {host}, port: {port}, batch: {batch}, \
             address: '{queue};{{create:always,node:{{type:queue,durable:{is_durable}}}}}'}}\n"
        )
    };
    let (calls, answers) = (
        endpoint("calls", &queues.calls()),
        endpoint("answers", &queues.answers()),
    );
    format!(
        "common_defs:\n  endpoints:\n{calls}{answers}\
         server:\n  endpoints:\n    - {{name: calls, af_mode: AF_READ}}\n    \
         - {{name: answers, af_mode: AF_WRITE}}\n\
         client:\n  endpoints:\n    - {{name: calls, af_mode: AF_WRITE}}\n    \
         - {{name: answers, af_mode: AF_READ}}\n  \
         endpoint_pairs:\n    - {{call: calls, return: answers}}\n"
    )
}

/// On a durable queue a oneway call waits until the broker has confirmed it.
async fn send_confirmed(client: &EchoPrx, server: &Address, load: &Load) -> Result<Measurement> {
    let meter = Arc::new(Meter::new(1)?);
    let mut senders = JoinSet::new();
    for _ in 0..load.case.shape.in_flight() {
        let (client, meter) = (client.clone(), Arc::clone(&meter));
        let payload = Payload::new(0, load.case.payload);
        senders.spawn(async move {
            let mut sent = 0;
            while !meter.is_over() {
                client.heartbeat_oneway(payload.text()).await?;
                sent += 1;
            }
            Ok(sent)
        });
    }
    load.measure_oneway(server.control, &meter, sum(senders))
        .await
}

/// How many messages all senders together have sent.
pub(super) async fn sum(mut senders: JoinSet<Result<u64>>) -> Result<u64> {
    let mut sent = 0;
    while let Some(sender) = senders.join_next().await {
        sent += sender??;
    }
    Ok(sent)
}
