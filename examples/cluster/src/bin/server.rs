//! The server: implements `test::Server`, and calls users back through their gateways.

use std::{
    error::Error,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::Parser;
use example_cluster::test::{BaseServer, ITerminalPrx, Server, ServerServant};
use tce_runtime::{config::MqConfig, prelude::*};

/// The server of the cluster example
#[derive(Parser)]
struct Args {
    /// The endpoint for calls: a queue of the configuration, or tcp://host:port for gateways
    /// that connect to it
    #[arg(long, default_value = "mq:mq_server")]
    endpoint: String,
    /// The file that defines the queues and the server's use of them
    #[arg(long, default_value = "config.yml")]
    config: PathBuf,
}

struct ServerImpl;

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
        println!("call back: {}", ctx.user_id().unwrap_or("unknown user"));
        // Through the gateway that forwarded the call, to the user who made it.
        let client = ITerminalPrx::to_caller(ctx);
        client.on_message_oneway("server push message!").await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    // From here on, SIGTERM and Ctrl-C let calls in flight complete.
    tce_runtime::catch_termination().await?;
    let communicator = Communicator::new();
    if args.endpoint.starts_with("mq:") {
        communicator
            .open_mq(MqConfig::load(args.config, "server")?)
            .await?;
    }

    let adapter = Adapter::listen(&communicator, &args.endpoint).await?;
    adapter.add_servant(ServerServant::new(ServerImpl));
    println!("listening on {}", adapter.endpoint());
    adapter.start();

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to complete.
    communicator
        .wait_for_shutdown(Duration::from_secs(10))
        .await?;
    println!("stopped");
    Ok(())
}
