//! Calls between generated proxies and servants.

use std::time::Duration;

use tce_runtime::{
    Adapter, Communicator, Connection, Context, Fault, Proxy, TypedProxy, codegen::Operation,
};
use tce_tests::test::{
    BaseServer, BaseServerPrx, ITerminal, ITerminalGatewayServerPrx, ITerminalPrx,
    ITerminalServant, Server, ServerPrx, ServerServant,
};
use tokio::sync::mpsc;

pub(crate) struct ServerImpl(mpsc::Sender<String>);

impl ServerImpl {
    /// A servant, and what its `heartbeat` receives.
    pub(crate) fn new() -> (Self, mpsc::Receiver<String>) {
        let (sender, received) = mpsc::channel(10);
        (Self(sender), received)
    }
}

impl BaseServer for ServerImpl {
    async fn datetime(&self, _: &Context) -> Result<String, Fault> {
        Ok("now".to_owned())
    }
}

impl Server for ServerImpl {
    async fn echo(&self, text: String, _: &Context) -> Result<String, Fault> {
        Ok(text)
    }

    async fn timeout(&self, secs: i32, _: &Context) -> Result<(), Fault> {
        tokio::time::sleep(Duration::from_secs(secs.unsigned_abs().into())).await;
        Ok(())
    }

    async fn heartbeat(&self, hello: String, _: &Context) -> Result<(), Fault> {
        Ok(self.0.send(hello).await?)
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        let terminal = ITerminalPrx::to_caller(ctx);
        Ok(terminal.on_message_oneway("server push message!").await?)
    }
}

pub(crate) struct Terminal(pub(crate) mpsc::Sender<String>);

impl ITerminal for Terminal {
    async fn on_message(&self, message: String, _: &Context) -> Result<(), Fault> {
        Ok(self.0.send(message).await?)
    }
}

/// A connection to a new server, and what the server's `heartbeat` receives.
async fn connected() -> (Connection, mpsc::Receiver<String>) {
    let communicator = Communicator::new();
    let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0")
        .await
        .unwrap();
    let (servant, received) = ServerImpl::new();
    adapter.add_servant(ServerServant::new(servant)).start();
    let endpoint = adapter.endpoint().to_string();
    let connection = Communicator::new().connect(&endpoint).await.unwrap();
    (connection, received)
}

#[tokio::test]
async fn an_inherited_operation_is_called_by_the_proxy_of_either_interface() {
    let (connection, _received) = connected().await;
    assert_eq!(ServerPrx::new(&connection).datetime().await.unwrap(), "now");
    let base = BaseServerPrx::new(&connection);
    assert_eq!(base.datetime().await.unwrap(), "now");
}

#[tokio::test]
async fn a_proxy_converts_to_the_proxy_of_its_base() {
    let (connection, _received) = connected().await;
    let server = ServerPrx::new(&connection);
    let base: BaseServerPrx = server.clone().into();
    assert_eq!(base.datetime().await.unwrap(), "now");
    let borrowed: &BaseServerPrx = &server;
    assert_eq!(borrowed.datetime().await.unwrap(), "now");
}

#[tokio::test]
async fn every_proxy_pings_the_adapter_unless_its_interface_has_a_ping() {
    let (connection, _received) = connected().await;
    ServerPrx::new(&connection).ping().await.unwrap();
    let gateway = ITerminalGatewayServerPrx::new(&connection);
    let error = gateway.ping().await.unwrap_err();
    assert_eq!(error.code(), tce_runtime::ErrorCode::InterfaceNotFound);
    TypedProxy::ping(&gateway).await.unwrap();
}

#[tokio::test]
async fn a_call_is_sent_before_it_is_awaited() {
    let (connection, mut received) = connected().await;
    let server = ServerPrx::new(&connection);
    let pending = server.heartbeat("first");
    assert_eq!(received.recv().await.unwrap(), "first");
    pending.await.unwrap();
    drop(server.heartbeat("dropped before the result"));
    assert_eq!(received.recv().await.unwrap(), "dropped before the result");
}

#[tokio::test]
async fn an_inherited_operation_is_not_the_derived_interfaces_own() {
    static WRONG: Operation = Operation::new("test::Server::datetime", 2, 4);
    let (connection, _received) = connected().await;
    let call = Proxy::new(&connection).call::<_, String>(&WRONG, ());
    let error = call.await.unwrap_err();
    assert_eq!(error.code(), tce_runtime::ErrorCode::InterfaceNotFound);
}

#[tokio::test]
async fn oneway_calls_arrive_and_the_server_pushes_back() {
    let (connection, mut received) = connected().await;
    let server = ServerPrx::new(&connection);
    server.heartbeat_oneway("hello world!").await.unwrap();
    assert_eq!(received.recv().await.unwrap(), "hello world!");

    let (sender, mut pushed) = mpsc::channel(10);
    connection.add_servant(ITerminalServant::new(Terminal(sender)));
    server.bidirection().await.unwrap();
    assert_eq!(pushed.recv().await.unwrap(), "server push message!");
}

#[tokio::test]
async fn a_result_is_awaited_later_or_handed_to_a_callback() {
    let (connection, _received) = connected().await;
    let server = ServerPrx::new(&connection);
    let later = server.echo_async("later");
    let (sender, mut received) = mpsc::channel(1);
    server
        .echo("pingpang")
        .on_return(move |result| sender.try_send(result.unwrap()).unwrap());
    assert_eq!(received.recv().await.unwrap(), "pingpang");
    assert_eq!(later.await.unwrap(), "later");
}

#[tokio::test]
async fn a_proxys_timeout_holds_for_its_calls() {
    let (connection, _received) = connected().await;
    let hasty = ServerPrx::new(&connection).with_timeout(Duration::from_millis(50));
    let error = hasty.timeout(10).await.unwrap_err();
    assert_eq!(error.code(), tce_runtime::ErrorCode::Timeout);
    assert_eq!(error.operation(), Some("test::Server::timeout"));
}
