//! The client: logs in at a gateway, makes every kind of call to the server behind it, and is
//! called back.

use std::{error::Error, time::Duration};

use clap::Parser;
use example_cluster::test::{ITerminal, ITerminalGatewayServerPrx, ITerminalServant, ServerPrx};
use tce_runtime::prelude::*;
use tokio::sync::mpsc;

/// The client of the cluster example
#[derive(Parser)]
struct Args {
    /// The gateway's endpoint: tcp://host:port or ws://host:port
    #[arg(long, default_value = "tcp://localhost:12002")]
    endpoint: String,
    /// The user's credentials: name:password
    #[arg(long, default_value = "scott:tiger")]
    token: String,
}

/// The servant that the server calls back.
struct TerminalImpl(mpsc::Sender<String>);

impl ITerminal for TerminalImpl {
    async fn on_message(&self, message: String, _ctx: &Context) -> Result<(), Fault> {
        self.0.send(message).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let communicator = Communicator::new();
    let server = ServerPrx::connect(&communicator, &args.endpoint).await?;
    // The gateway reads the token of a connection's first call. All calls carry it, since any may
    // be the first after a reconnect.
    let server = server.with_extra([("__token__", args.token)]);

    // Twoway: an operation of the interface, and one of its base.
    println!("twoway: {}", server.echo("hello").await?);
    println!("inherited: {}", server.datetime().await?);

    // Extra: string pairs, sent with the parameters.
    let named = server.with_extra([("name", "scott.bo")]);
    println!("extra: {}", named.echo("hello").await?);

    // Async: the call is sent here, its result awaited later.
    let pending = server.echo("pingpang");
    println!("async: {}", pending.await?);

    // Timeout: a call that takes longer than its proxy allows.
    let impatient = server.with_timeout(Duration::from_secs(1));
    if let Err(error) = impatient.timeout(3).await {
        println!("timeout: {error}");
    }

    // Oneway: no answer.
    server.heartbeat_oneway("hello world!").await?;

    // Answered by this example's gateway itself; tce-gateway has no such servant.
    let gateway = ITerminalGatewayServerPrx::new(server.connection());
    match gateway.ping().await {
        Ok(()) => println!("ping: the gateway answered"),
        Err(error) => println!("ping: {error}"),
    }

    // Bidirectional: the server calls our servant, through the gateway.
    let (messages, mut message) = mpsc::channel(1);
    let terminal = ITerminalServant::new(TerminalImpl(messages));
    server.connection().add_servant(terminal);
    server.bidirection_oneway().await?;
    println!("onMessage: {}", message.recv().await.unwrap_or_default());
    Ok(())
}
