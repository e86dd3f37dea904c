//! tce over sockets and WebSocket, by generated proxies and servants; defaults, unless
//! `--busy-poll` says otherwise.

use std::{future::pending, sync::Arc};

use anyhow::Result;
use tce_runtime::{Adapter, Communicator, Context, Fault};
use tokio::task::coop;

use super::Stand;
use crate::{
    case::Shape,
    control::Received,
    load::{Client, Load},
    meter::{Measurement, Meter},
    payload::Payload,
    process::Address,
};

#[expect(unreachable_pub, reason = "generated to fit any crate")]
mod generated {
    tce_runtime::include_idl!(bench);
}

pub(super) use generated::bench::EchoPrx;
use generated::bench::{Echo, EchoServant};

pub(super) async fn server(stand: Stand, endpoint: &str) -> Result<()> {
    let _polls = stand.case.busy_poll.begin();
    let communicator = Communicator::new();
    let adapter = Adapter::listen(&communicator, endpoint).await?;
    adapter.add_servant(servant(stand.received)).start();
    stand.ready.announce(&adapter.endpoint().to_string())?;
    pending().await
}

pub(super) fn servant(received: Arc<Received>) -> impl tce_runtime::Servant {
    EchoServant::new(Servant(received))
}

struct Servant(Arc<Received>);

impl Echo for Servant {
    async fn echo(&self, text: String, _: &Context) -> Result<String, Fault> {
        Ok(text)
    }

    async fn heartbeat(&self, text: String, _: &Context) -> Result<(), Fault> {
        self.0.note(text.as_bytes());
        Ok(())
    }
}

pub(super) async fn client(server: &Address, load: &Load) -> Result<Measurement> {
    let communicator = Communicator::with_options(load.case.busy_poll.options());
    let mut clients = Vec::new();
    for _ in 0..load.case.shape.connections() {
        clients.push(EchoPrx::connect(&communicator, &server.endpoint).await?);
    }
    match load.case.shape {
        Shape::Oneway => send_oneway(&clients[0], server, load).await,
        _ => load.call(&clients).await,
    }
}

/// Whether somebody answers there.
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

impl Client for EchoPrx {
    async fn echo(&mut self, text: &str) -> Result<String> {
        Ok(EchoPrx::echo(self, text).await?)
    }
}

pub(super) async fn send_oneway(
    client: &EchoPrx,
    server: &Address,
    load: &Load,
) -> Result<Measurement> {
    let meter = Meter::new(1)?;
    let payload = Payload::new(0, load.case.payload);
    let sender = async {
        let mut sent = 0;
        while !meter.is_over() {
            client.heartbeat_oneway(payload.text()).await?;
            sent += 1;
            // What never has to wait would never let the connection's task write.
            coop::consume_budget().await;
        }
        Ok(sent)
    };
    load.measure_oneway(server.control, &meter, sender).await
}
