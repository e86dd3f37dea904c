//! The servants of the demo. Each reports its calls as events, which [`super::transcript`] shows.

use std::time::{Duration, SystemTime};

use tce_runtime::{Context, ErrorCode, Fault, TypedProxy};
use tokio::sync::mpsc;

use super::generated::test::{BaseServer, ITerminal, ITerminalGatewayServer, ITerminalPrx, Server};

/// Receives a line of text for each event: a call of a servant, a login or a logout.
pub(super) type EventSender = mpsc::Sender<String>;

/// Serves `test::Server`.
pub(super) struct ServerImpl(pub(super) EventSender);

impl ServerImpl {
    /// Reports a call with its user and the entries of the extra that the caller has set.
    async fn report(&self, call: &str, ctx: &Context) -> Result<(), Fault> {
        let user = ctx.user_id().unwrap_or("unknown user");
        let entries = ctx.extra().iter();
        let own = entries.filter(|(key, _)| !key.starts_with("__"));
        let own: String = own.map(|(key, value)| format!(", {key}={value}")).collect();
        let event = format!("server: {call} from {user}{own}");
        self.0.send(event).await?;
        Ok(())
    }
}

impl BaseServer for ServerImpl {
    async fn datetime(&self, ctx: &Context) -> Result<String, Fault> {
        self.report("datetime()", ctx).await?;
        Ok(humantime::format_rfc3339_seconds(SystemTime::now()).to_string())
    }
}

impl Server for ServerImpl {
    async fn echo(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        self.report(&format!("echo({text:?})"), ctx).await?;
        Ok(text)
    }

    async fn timeout(&self, secs: i32, ctx: &Context) -> Result<(), Fault> {
        self.report(&format!("timeout({secs})"), ctx).await?;
        let secs = u64::try_from(secs).map_err(|_| {
            let text = format!("can't wait for {secs} seconds");
            Fault::new(ErrorCode::RemoteException, text)
        })?;
        tokio::time::sleep(Duration::from_secs(secs)).await;
        Ok(())
    }

    async fn heartbeat(&self, hello: String, ctx: &Context) -> Result<(), Fault> {
        self.report(&format!("heartbeat({hello:?})"), ctx).await
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        self.report("bidirection()", ctx).await?;
        let terminal = ITerminalPrx::to_caller(ctx);
        terminal.on_message_oneway("server push message!").await?;
        Ok(())
    }
}

/// Serves `test::ITerminalGatewayServer` in a gateway.
pub(super) struct GatewayImpl {
    /// Name of the gateway.
    pub(super) name: String,
    pub(super) events: EventSender,
}

impl ITerminalGatewayServer for GatewayImpl {
    async fn ping(&self, ctx: &Context) -> Result<(), Fault> {
        let user = ctx.user_id().unwrap_or("unknown user");
        let event = format!("{}: ping() from {user}", self.name);
        self.events.send(event).await?;
        Ok(())
    }
}

/// Serves `test::ITerminal` in a client.
pub(super) struct TerminalImpl(pub(super) EventSender);

impl ITerminal for TerminalImpl {
    async fn on_message(&self, message: String, _: &Context) -> Result<(), Fault> {
        let event = format!("client: onMessage({message:?})");
        self.0.send(event).await?;
        Ok(())
    }
}
