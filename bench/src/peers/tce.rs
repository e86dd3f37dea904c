//! tce over sockets and WebSocket, by generated proxies and servants; defaults, unless
//! `--busy-poll` says otherwise.

use std::{future::pending, sync::Arc};

use anyhow::Result;
use tce_runtime::{Adapter, Communicator, Context, Fault, Servant, TypedProxy};
use tokio::task::coop;

use crate::{
    case::LoadShape,
    control::ReceiveCounter,
    endpoint::{ServerAddress, ServerSetup},
    load::{EchoCaller, LoadGenerator},
    meter::{Measurement, Meter},
    payload::Payload,
};

#[expect(unreachable_pub, reason = "generated code is made for public modules")]
mod generated {
    tce_runtime::include_idl!(bench);
}

pub(super) use generated::bench::EchoPrx;
use generated::bench::{Echo, EchoServant};

pub(super) async fn server(setup: ServerSetup, endpoint: &str) -> Result<()> {
    let communicator = Communicator::with_options(setup.case.busy_poll.options());
    let adapter = Adapter::listen(&communicator, endpoint).await?;
    adapter.add_servant(servant(setup.received)).start();
    setup.ready.announce(&adapter.endpoint().to_string())?;
    pending().await
}

pub(super) fn servant(received: Arc<ReceiveCounter>) -> impl Servant {
    EchoServant::new(EchoImpl(received))
}

struct EchoImpl(Arc<ReceiveCounter>);

impl Echo for EchoImpl {
    async fn echo(&self, text: String, _: &Context) -> Result<String, Fault> {
        Ok(text)
    }

    async fn heartbeat(&self, text: String, _: &Context) -> Result<(), Fault> {
        self.0.record(text.as_bytes());
        Ok(())
    }
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let communicator = Communicator::with_options(load.case.busy_poll.options());
    let mut clients = Vec::new();
    for _ in 0..load.case.shape.connections() {
        clients.push(EchoPrx::connect(&communicator, &server.endpoint).await?);
    }
    match load.case.shape {
        LoadShape::Oneway => send_oneway(&clients[0], server, load).await,
        _ => load.call(&clients).await,
    }
}

/// Whether a server answers calls at `endpoint`.
pub(crate) fn answers(endpoint: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.is_ok_and(|runtime| {
        runtime
            .block_on(async {
                let client = EchoPrx::connect(&Communicator::new(), endpoint).await?;
                client.echo("").await
            })
            .is_ok()
    })
}

impl EchoCaller for EchoPrx {
    async fn echo(&mut self, text: &str) -> Result<String> {
        Ok(EchoPrx::echo(self, text).await?)
    }
}

pub(super) async fn send_oneway(
    client: &EchoPrx,
    server: &ServerAddress,
    load: &LoadGenerator,
) -> Result<Measurement> {
    let meter = Meter::new(1, load.extent)?;
    let payload = Payload::new(0, load.case.payload);
    let sender = async {
        let mut sent = 0;
        while meter.has_more(sent) {
            client.heartbeat_oneway(payload.text()).await?;
            sent += 1;
            // A sender that never waits would keep the connection's task from writing.
            coop::consume_budget().await;
        }
        Ok(sent)
    };
    load.measure_oneway(server.control, &meter, sender).await
}
