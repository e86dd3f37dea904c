//! The server: implements `test::Server`, and calls its clients back.

use std::{error::Error, path::PathBuf, time::Duration, time::SystemTime};

use clap::Parser;
use example_simple::test::{BaseServer, ITerminalPrx, Server, ServerServant};
use tce_runtime::{
    config::{Options, TlsConfig},
    prelude::*,
};

/// The server of the simple example
#[derive(Parser)]
struct Args {
    /// The endpoint to listen on: tcp://host:port or ssl://host:port
    #[arg(long, default_value = "tcp://localhost:12002")]
    endpoint: String,
    /// For ssl://, the PEM file of the server's certificate
    #[arg(long)]
    cert: Option<PathBuf>,
    /// For ssl://, the PEM file of the certificate's private key
    #[arg(long)]
    key: Option<PathBuf>,
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
    let communicator = Communicator::with_options(Options {
        tls: TlsConfig {
            certificate: args.cert,
            key: args.key,
            ..TlsConfig::default()
        },
        ..Options::default()
    });

    let adapter = Adapter::listen(&communicator, &args.endpoint).await?;
    adapter.add_servant(ServerServant::new(ServerImpl)).start();
    println!("listening on {}", adapter.endpoint());

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to complete.
    communicator
        .wait_for_shutdown(Duration::from_secs(10))
        .await?;
    println!("stopped");
    Ok(())
}
