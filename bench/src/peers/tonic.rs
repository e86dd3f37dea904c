//! gRPC by tonic, with its defaults and `TCP_NODELAY`. The default flow-control windows hold more
//! than is ever in flight here.

use anyhow::{Result, bail};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

use super::tcp::listen;
use crate::{
    endpoint::{ServerAddress, ServerSetup},
    load::{EchoCaller, LoadGenerator},
    meter::Measurement,
};

#[expect(
    unreachable_pub,
    unused_qualifications,
    reason = "generated to fit any crate"
)]
mod echo {
    tonic::include_proto!("echo");
}

use echo::{Text, echo_client, echo_server};

pub(super) async fn server(setup: ServerSetup) -> Result<()> {
    let (listener, address) = listen().await?;
    setup.ready.announce(&format!("http://{address}"))?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let echo = echo_server::EchoServer::new(EchoImpl);
    Server::builder()
        .add_service(echo)
        .serve_with_incoming(incoming)
        .await?;
    bail!("the server stopped");
}

struct EchoImpl;

#[tonic::async_trait]
impl echo_server::Echo for EchoImpl {
    async fn echo(&self, request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let mut clients = Vec::new();
    for _ in 0..load.case.shape.connections() {
        let endpoint = Endpoint::from_shared(server.endpoint.clone())?.tcp_nodelay(true);
        clients.push(echo_client::EchoClient::new(endpoint.connect().await?));
    }
    load.call(&clients).await
}

impl EchoCaller for echo_client::EchoClient<Channel> {
    async fn echo(&mut self, text: &str) -> Result<String> {
        let answer = self
            .echo(Text {
                text: text.to_owned(),
            })
            .await?;
        Ok(answer.into_inner().text)
    }
}
