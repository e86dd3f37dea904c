//! The objects that answer: two on the server's side, one on the client's.

use std::time::{Duration, SystemTime};

use tce_runtime::{Context, Fault};
use tokio::sync::mpsc;

use crate::test::{
    BaseServer, ITerminal, ITerminalGatewayServer, ITerminalPrx, Server as ServerInterface,
};

/// Where servants tell what reaches them.
pub(super) type Told = mpsc::Sender<String>;

/// Serves `test::Server`.
pub(super) struct Server(pub(super) Told);

impl BaseServer for Server {
    async fn datetime(&self, _: &Context) -> Result<String, Fault> {
        Ok(humantime::format_rfc3339_seconds(SystemTime::now()).to_string())
    }
}

impl ServerInterface for Server {
    async fn echo(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        if !ctx.extra().is_empty() {
            let pairs = ctx.extra().iter();
            let extra = pairs.map(|(key, value)| format!("{key}={value}"));
            let extra = extra.collect::<Vec<_>>().join(" ");
            self.0.send(format!("server: extra {extra}")).await?;
        }
        Ok(text)
    }

    async fn timeout(&self, secs: i32, _: &Context) -> Result<(), Fault> {
        let secs = u64::try_from(secs)
            .map_err(|_| Fault::new(format!("nobody can wait {secs} seconds")))?;
        tokio::time::sleep(Duration::from_secs(secs)).await;
        Ok(())
    }

    async fn heartbeat(&self, hello: String, _: &Context) -> Result<(), Fault> {
        self.0.send(format!("server: heartbeat {hello:?}")).await?;
        Ok(())
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        let terminal = ITerminalPrx::to_caller(ctx);
        terminal.on_message_oneway("server push message!").await?;
        Ok(())
    }
}

/// Serves `test::ITerminalGatewayServer`.
pub(super) struct Gateway(pub(super) Told);

impl ITerminalGatewayServer for Gateway {
    async fn ping(&self, _: &Context) -> Result<(), Fault> {
        self.0.send("server: ping".to_owned()).await?;
        Ok(())
    }
}

/// Serves `test::ITerminal`, in the client.
pub(super) struct Terminal(pub(super) Told);

impl ITerminal for Terminal {
    async fn on_message(&self, message: String, _: &Context) -> Result<(), Fault> {
        self.0
            .send(format!("client: onMessage {message:?}"))
            .await?;
        Ok(())
    }
}
