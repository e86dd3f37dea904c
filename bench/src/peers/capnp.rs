//! Cap'n Proto RPC over TCP by capnp-rpc, with the buffers of its documentation. All its types
//! belong to one thread, which is the only one of a client's or server's runtime.

use std::rc::Rc;

use ::capnp::Error;
use anyhow::Result;
use capnp_rpc::{RpcSystem, rpc_twoparty_capnp::Side, twoparty::VatNetwork};
use futures::io::{BufReader, BufWriter};
use send_wrapper::SendWrapper;
use tokio::net::TcpStream;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use super::tcp::{connect, listen, serve_each};
use crate::{
    endpoint::{ServerAddress, ServerSetup},
    load::{EchoCaller, LoadGenerator},
    meter::Measurement,
};

#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::semicolon_if_nothing_returned,
    clippy::unimplemented,
    clippy::unwrap_used,
    reason = "generated to fit any crate"
)]
mod echo_capnp {
    include!(concat!(env!("OUT_DIR"), "/echo_capnp.rs"));
}

use echo_capnp::echo;

pub(super) async fn server(setup: ServerSetup) -> Result<()> {
    let (listener, address) = listen().await?;
    setup.ready.announce(&address.to_string())?;
    serve_each(listener, |stream| SendWrapper::new(serve(stream))).await
}

async fn serve(stream: TcpStream) -> Result<()> {
    let echo: echo::Client = capnp_rpc::new_client(EchoImpl);
    let network = network(stream, Side::Server);
    Ok(RpcSystem::new(network, Some(echo.client)).await?)
}

struct EchoImpl;

impl echo::Server for EchoImpl {
    async fn echo(
        self: Rc<Self>,
        params: echo::EchoParams,
        mut results: echo::EchoResults,
    ) -> Result<(), Error> {
        results.get().set_text(params.get()?.get_text()?);
        Ok(())
    }
}

fn network(stream: TcpStream, side: Side) -> Box<VatNetwork<impl futures::AsyncRead + Unpin>> {
    let (reader, writer) = stream.into_split();
    let reader = BufReader::new(reader.compat());
    let writer = BufWriter::new(writer.compat_write());
    Box::new(VatNetwork::new(reader, writer, side, Default::default()))
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let mut clients = Vec::new();
    for _ in 0..load.case.shape.connections() {
        let network = network(connect(&server.endpoint).await?, Side::Client);
        let mut system = RpcSystem::new(network, None);
        let client: echo::Client = system.bootstrap(Side::Server);
        tokio::spawn(SendWrapper::new(system));
        clients.push(Caller(SendWrapper::new(client)));
    }
    load.call(&clients).await
}

#[derive(Clone)]
struct Caller(SendWrapper<echo::Client>);

impl EchoCaller for Caller {
    fn echo(&mut self, text: &str) -> impl Future<Output = Result<String>> + Send {
        let mut request = self.0.echo_request();
        request.get().set_text(text);
        let answer = request.send().promise;
        SendWrapper::new(async move { Ok(answer.await?.get()?.get_text()?.to_string()?) })
    }
}
