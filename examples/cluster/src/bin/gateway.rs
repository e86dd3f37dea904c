//! The gateway: what `services.xml` says, and a servant, an authenticator and a listener of its own.

use std::{error::Error, path::PathBuf};

use clap::Parser;
use example_cluster::test::{ITerminalGatewayServer, ITerminalGatewayServerServant};
use tce_gateway::{
    Gateway,
    auth::{Login, Refusal},
    log,
};
use tce_runtime::{Context, Fault};

/// The gateway of the cluster example
#[derive(Parser)]
struct Args {
    /// Which server of the file to run: gwserver or gwserver_ws
    name: String,
    /// Where clients connect to, and where their calls go
    #[arg(long, default_value = "services.xml")]
    services: PathBuf,
}

struct GatewayImpl;

impl ITerminalGatewayServer for GatewayImpl {
    async fn ping(&self, ctx: &Context) -> Result<(), Fault> {
        println!("ping of {}", ctx.user_id().unwrap_or("nobody"));
        Ok(())
    }
}

/// Knows users by `name:password`; one for the real world asks whoever keeps the passwords.
async fn authenticate(login: Login) -> Result<String, Refusal> {
    match login.token.split_once(':') {
        Some((name, "tiger")) => Ok(name.to_owned()),
        _ => Err(Refusal::new("unknown user, or wrong password")),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    log::init("warn", log::LogFormat::Text)?;

    let gateway = Gateway::load(args.services, &args.name, &[])?
        .servant(ITerminalGatewayServerServant::new(GatewayImpl))
        .authenticator(authenticate)
        .on_user(|user, is_on_line| {
            println!(
                "{user} is {}",
                if is_on_line { "on line" } else { "off line" }
            );
        })
        .start()
        .await?;
    for address in gateway.addresses() {
        println!("listening on {address}");
    }

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to end.
    gateway.wait_for_shutdown().await?;
    println!("stopped");
    Ok(())
}
