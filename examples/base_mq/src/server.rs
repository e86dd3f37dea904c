//! The server's servant.

use std::time::{Duration, SystemTime};

use tce_runtime::prelude::*;

use crate::test::{BaseServer, ITerminalPrx, Server};

/// Implements `test::Server`, and calls clients back.
pub struct ServerImpl;

impl BaseServer for ServerImpl {
    async fn datetime(&self, _ctx: &Context) -> Result<String, Fault> {
        Ok(humantime::format_rfc3339_seconds(SystemTime::now()).to_string())
    }
}

impl Server for ServerImpl {
    async fn echo(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        let extra: Vec<_> = ctx.extra().iter().collect();
        println!("extra oob data: {extra:?}");
        Ok(format!("Yah! {text}"))
    }

    async fn timeout(&self, secs: i32, _ctx: &Context) -> Result<(), Fault> {
        println!("enter timeout: {secs}");
        let Ok(secs) = u64::try_from(secs) else {
            let text = "`secs` must not be negative";
            return Err(Fault::new(ErrorCode::RemoteException, text));
        };
        tokio::time::sleep(Duration::from_secs(secs)).await;
        Ok(())
    }

    async fn heartbeat(&self, hello: String, _ctx: &Context) -> Result<(), Fault> {
        println!("heartbeat: {hello}");
        Ok(())
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        // Through the queue that the call names for its RETURN.
        let client = ITerminalPrx::to_caller(ctx);
        client.on_message_oneway("server push message!").await?;
        Ok(())
    }
}
