//! The objects that answer: in the server, in the gateways and in the clients.

use std::time::{Duration, SystemTime};

use tce_runtime::{Context, ErrorCode, Fault, TypedProxy};
use tokio::sync::mpsc;

use crate::test::{
    BaseServer, ITerminal, ITerminalGatewayServer, ITerminalPrx, Server as ServerInterface,
};

/// Where servants tell what reaches them.
pub(super) type Told = mpsc::Sender<String>;

/// Serves `test::Server`.
pub(super) struct Server(pub(super) Told);

impl Server {
    /// Tells what is called, by whom, and with which pairs of the caller's own.
    async fn hears(&self, call: &str, ctx: &Context) -> Result<(), Fault> {
        let user = ctx.user_id().unwrap_or("nobody");
        let pairs = ctx.extra().iter();
        let own = pairs.filter(|(key, _)| !key.starts_with("__"));
        let own: String = own.map(|(key, value)| format!(", {key}={value}")).collect();
        let told = format!("server: {call} of {user}{own}");
        self.0.send(told).await?;
        Ok(())
    }
}

impl BaseServer for Server {
    async fn datetime(&self, ctx: &Context) -> Result<String, Fault> {
        self.hears("datetime()", ctx).await?;
        Ok(humantime::format_rfc3339_seconds(SystemTime::now()).to_string())
    }
}

impl ServerInterface for Server {
    async fn echo(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        self.hears(&format!("echo({text:?})"), ctx).await?;
        Ok(text)
    }

    async fn timeout(&self, secs: i32, ctx: &Context) -> Result<(), Fault> {
        self.hears(&format!("timeout({secs})"), ctx).await?;
        let secs = u64::try_from(secs).map_err(|_| {
            let text = format!("can't wait {secs} seconds");
            Fault::new(ErrorCode::RemoteException, text)
        })?;
        tokio::time::sleep(Duration::from_secs(secs)).await;
        Ok(())
    }

    async fn heartbeat(&self, hello: String, ctx: &Context) -> Result<(), Fault> {
        self.hears(&format!("heartbeat({hello:?})"), ctx).await
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        self.hears("bidirection()", ctx).await?;
        let terminal = ITerminalPrx::to_caller(ctx);
        terminal.on_message_oneway("server push message!").await?;
        Ok(())
    }
}

/// Serves `test::ITerminalGatewayServer`, in the gateway of that name.
pub(super) struct Gateway(pub(super) String, pub(super) Told);

impl ITerminalGatewayServer for Gateway {
    async fn ping(&self, ctx: &Context) -> Result<(), Fault> {
        let user = ctx.user_id().unwrap_or("nobody");
        let told = format!("{}: ping() of {user}", self.0);
        self.1.send(told).await?;
        Ok(())
    }
}

/// Serves `test::ITerminal`, in a client.
pub(super) struct Terminal(pub(super) Told);

impl ITerminal for Terminal {
    async fn on_message(&self, message: String, _: &Context) -> Result<(), Fault> {
        self.0
            .send(format!("client: onMessage({message:?})"))
            .await?;
        Ok(())
    }
}
