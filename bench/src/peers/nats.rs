//! NATS by async-nats, with its defaults: a call is a request, which nats-server forwards to the
//! server, the only subscriber of its subject, as it does the answer to the subject of the caller's
//! connection.

use anyhow::{Context, Result, bail};
use async_nats::Client;
use futures::StreamExt;

use crate::{
    endpoint::{ServerAddress, ServerSetup},
    load::{EchoCaller, LoadGenerator},
    meter::Measurement,
};

const SUBJECT: &str = "echo";

/// Answers the calls one after the other.
pub(super) async fn server(setup: ServerSetup) -> Result<()> {
    let broker = setup.broker.context("no nats-server was started")?;
    let client = async_nats::connect(broker.to_string()).await?;
    let mut calls = client.subscribe(SUBJECT).await?;
    // A message of its own arrives only when nats-server has the subscription.
    client.publish(SUBJECT, "".into()).await?;
    calls.next().await;
    setup.ready.announce(&broker.to_string())?;
    while let Some(call) = calls.next().await {
        let reply = call.reply.context("a call expects no answer")?;
        client.publish(reply, call.payload).await?;
    }
    bail!("the connection to nats-server ended");
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let mut clients = Vec::new();
    for _ in 0..load.case.shape.connections() {
        clients.push(async_nats::connect(&server.endpoint).await?);
    }
    load.call(&clients).await
}

impl EchoCaller for Client {
    async fn echo(&mut self, text: &str) -> Result<String> {
        let answer = self.request(SUBJECT, text.to_owned().into()).await?;
        Ok(String::from_utf8(answer.payload.into())?)
    }
}
