//! tarpc over TCP with bincode, the faster of the two codecs it brings. Each call is served in a
//! task of its own, as its documentation does. Awaiting one after the other in place is a fifth
//! faster with small texts, but then one slow call holds up all others on the connection.

use anyhow::Result;
use futures::StreamExt;
use tarpc::{
    client, context, serde_transport,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
    tokio_util::codec::LengthDelimitedCodec,
};
use tokio::net::TcpStream;

use super::{
    Stand,
    tcp::{connect, listen, serve_each},
};
use crate::{
    load::{Client, Load},
    meter::Measurement,
    process::Address,
};

#[tarpc::service]
trait Echo {
    async fn echo(text: String) -> String;
}

pub(super) async fn server(stand: Stand) -> Result<()> {
    let (listener, address) = listen().await?;
    stand.ready.announce(&address.to_string())?;
    serve_each(listener, serve).await
}

#[derive(Clone)]
struct Servant;

impl Echo for Servant {
    async fn echo(self, _: context::Context, text: String) -> String {
        text
    }
}

async fn serve(stream: TcpStream) -> Result<()> {
    let framed = LengthDelimitedCodec::builder().new_framed(stream);
    let transport = serde_transport::new(framed, Bincode::default());
    BaseChannel::with_defaults(transport)
        .execute(Servant.serve())
        .for_each(|call| async {
            tokio::spawn(call);
        })
        .await;
    Ok(())
}

pub(super) async fn client(server: &Address, load: &Load) -> Result<Measurement> {
    let mut clients = Vec::new();
    for _ in 0..load.case.shape.connections() {
        let framed = LengthDelimitedCodec::builder().new_framed(connect(&server.endpoint).await?);
        let transport = serde_transport::new(framed, Bincode::default());
        clients.push(EchoClient::new(client::Config::default(), transport).spawn());
    }
    load.call(&clients).await
}

impl Client for EchoClient {
    async fn echo(&mut self, text: &str) -> Result<String> {
        // The inherent method, which is the call itself.
        Ok(EchoClient::echo(self, context::current(), text.to_owned()).await?)
    }
}
