//! tce over RabbitMQ, by the same generated code. The queues are configured by text in the format
//! of `config.yml`. Server and client have a communicator each.

use std::future::pending;

use anyhow::Result;
use tce_runtime::{Adapter, Communicator, config::MqConfig};

use super::tce::{EchoPrx, send_oneway, servant};
use crate::{
    case::LoadShape,
    endpoint::{QueuePair, ServerAddress, ServerSetup},
    load::{ConfirmedSender, LoadGenerator},
    meter::Measurement,
    payload::Payload,
};

pub(super) async fn server(setup: ServerSetup, in_batches: bool) -> Result<()> {
    let queues = QueuePair::new(&setup)?;
    let communicator = open(&queues, setup.case.shape, in_batches, "server").await?;
    let adapter = Adapter::listen(&communicator, "mq:calls").await?;
    adapter.add_servant(servant(setup.received)).start();
    setup.ready.announce(&queues.to_string())?;
    pending().await
}

pub(super) async fn client(
    server: &ServerAddress,
    load: &LoadGenerator,
    in_batches: bool,
) -> Result<Measurement> {
    let shape = load.case.shape;
    let queues: QueuePair = server.endpoint.parse()?;
    let communicator = open(&queues, shape, in_batches, "client").await?;
    let client = EchoPrx::connect(&communicator, "mq:calls").await?;
    match shape {
        LoadShape::Oneway => send_oneway(&client, server, load).await,
        LoadShape::Confirmed => {
            let payload = Payload::new(0, load.case.payload);
            let sender = DurableSender { client, payload };
            load.send_confirmed(server.control, sender).await
        }
        _ => load.call(&[client]).await,
    }
}

/// On a durable queue a oneway call completes when the broker has confirmed its message.
#[derive(Clone)]
struct DurableSender {
    client: EchoPrx,
    payload: Payload,
}

impl ConfirmedSender for DurableSender {
    async fn send(&self) -> Result<()> {
        Ok(self.client.heartbeat_oneway(self.payload.text()).await?)
    }
}

async fn open(
    queues: &QueuePair,
    shape: LoadShape,
    in_batches: bool,
    process: &str,
) -> Result<Communicator> {
    let communicator = Communicator::new();
    let text = configuration(queues, shape == LoadShape::Confirmed, in_batches);
    let config = MqConfig::parse(&text, "the benchmark's configuration", process)?;
    communicator.open_mq(config).await?;
    Ok(communicator)
}

fn configuration(queues: &QueuePair, is_durable: bool, in_batches: bool) -> String {
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
