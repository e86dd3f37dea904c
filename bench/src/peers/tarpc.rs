//! tarpc over TCP with bincode, the faster of its two codecs. Each call is served in its own task, as
//! in tarpc's documentation. Serving calls one after the other in the connection's task is a fifth
//! faster with small texts, but then a slow call delays all later calls on the connection.

use anyhow::Result;
use futures::StreamExt;
use tarpc::{
    client, context, serde_transport,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
    tokio_util::codec::LengthDelimitedCodec,
};
use tokio::net::TcpStream;

use super::tcp::{connect, listen, serve_each};
use crate::{
    endpoint::{ServerAddress, ServerSetup},
    load::{EchoCaller, LoadGenerator},
    meter::Measurement,
};

#[tarpc::service]
trait Echo {
    async fn echo(text: String) -> String;
}

pub(super) async fn server(setup: ServerSetup) -> Result<()> {
    let (listener, address) = listen().await?;
    setup.ready.announce(&address.to_string())?;
    serve_each(listener, serve).await
}

#[derive(Clone)]
struct EchoImpl;

impl Echo for EchoImpl {
    async fn echo(self, _: context::Context, text: String) -> String {
        text
    }
}

async fn serve(stream: TcpStream) -> Result<()> {
    let framed = LengthDelimitedCodec::builder().new_framed(stream);
    let transport = serde_transport::new(framed, Bincode::default());
    BaseChannel::with_defaults(transport)
        .execute(EchoImpl.serve())
        .for_each(|call| async {
            tokio::spawn(call);
        })
        .await;
    Ok(())
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let mut clients = Vec::new();
    for _ in 0..load.case.shape.connections() {
        let framed = LengthDelimitedCodec::builder().new_framed(connect(&server.endpoint).await?);
        let transport = serde_transport::new(framed, Bincode::default());
        clients.push(EchoClient::new(client::Config::default(), transport).spawn());
    }
    load.call(&clients).await
}

impl EchoCaller for EchoClient {
    async fn echo(&mut self, text: &str) -> Result<String> {
        // The inherent method of the generated client, not this trait's.
        Ok(EchoClient::echo(self, context::current(), text.to_owned()).await?)
    }
}
