//! The gateway: as `services.xml` configures it, with its own servant, authenticator and listener
//! for logins.

use std::{error::Error, path::PathBuf};

use clap::Parser;
use example_cluster::test::{ITerminalGatewayServer, ITerminalGatewayServerServant};
use tce_gateway::{
    Gateway,
    auth::{Login, Refusal},
    log,
};
use tce_runtime::prelude::*;

/// The gateway of the cluster example
#[derive(Parser)]
struct Args {
    /// The server of the file to run: gwserver or gwserver_ws
    name: String,
    /// The file that defines the gateway's endpoints and routes
    #[arg(long, default_value = "services.xml")]
    services: PathBuf,
}

struct GatewayImpl;

impl ITerminalGatewayServer for GatewayImpl {
    async fn ping(&self, ctx: &Context) -> Result<(), Fault> {
        println!("ping from {}", ctx.user_id().unwrap_or("unknown user"));
        Ok(())
    }
}

/// Accepts `name:password` with one fixed password; a real one asks a user database.
async fn authenticate(login: Login) -> Result<String, Refusal> {
    match login.token.split_once(':') {
        Some((name, "tiger")) => Ok(name.to_owned()),
        _ => Err(Refusal::new("unknown user, or wrong password")),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    // From here on, SIGTERM and Ctrl-C let calls in flight complete.
    tce_runtime::catch_termination().await?;
    let _log = log::init("warn", log::LogFormat::Text)?;

    let gateway = Gateway::load(args.services, &args.name, &[])?
        .servant(ITerminalGatewayServerServant::new(GatewayImpl))
        .authenticator(authenticate)
        .on_user(|user, is_online| {
            println!("{user} logged {}", if is_online { "in" } else { "out" });
        })
        .start()
        .await?;
    for address in gateway.addresses() {
        println!("listening on {address}");
    }

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to complete.
    gateway.wait_for_shutdown().await?;
    println!("stopped");
    Ok(())
}
