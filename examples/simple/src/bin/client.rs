//! The client: makes every kind of call to the server, and is called back.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use example_simple::test::{ITerminal, ITerminalServant, ServerPrx};
use tce_runtime::{
    config::{Options, TlsConfig},
    prelude::*,
};
use tokio::sync::mpsc;

/// The client of the simple example
#[derive(Parser)]
struct Args {
    /// The server's endpoint: tcp://host:port or ssl://host:port
    #[arg(long, default_value = "tcp://localhost:12002")]
    endpoint: String,
    /// For ssl://, the PEM file of the authority that signed the server's certificate
    #[arg(long)]
    ca: Option<PathBuf>,
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
    let communicator = Communicator::with_options(Options {
        tls: TlsConfig {
            authority: args.ca,
            ..TlsConfig::default()
        },
        ..Options::default()
    });
    let server = ServerPrx::connect(&communicator, &args.endpoint).await?;

    // Twoway: an operation of the interface, and one of its base.
    println!("twoway: {}", server.echo("hello").await?);
    println!("inherited: {}", server.datetime().await?);

    // Extra: string pairs, sent with the parameters.
    let named = server.with_extra([("name", "scott.bo")]);
    println!("extra: {}", named.echo("hello").await?);

    // Async: the call is sent here, its result awaited later …
    let pending = server.echo("pingpang");
    println!("async: {}", pending.await?);

    // … or passed to a callback.
    let (results, mut result) = mpsc::channel(1);
    server.echo("pingpang").on_return(move |result| {
        let text = result.unwrap_or_else(|error| error.to_string());
        // Fails only if the program has ended first.
        let _ = results.try_send(text);
    });
    println!("callback: {}", result.recv().await.unwrap_or_default());

    // Timeout: a call that takes longer than its proxy allows.
    let impatient = server.with_timeout(Duration::from_secs(1));
    if let Err(error) = impatient.timeout(3).await {
        println!("timeout: {error}");
    }

    // Oneway: no answer.
    server.heartbeat_oneway("hello world!").await?;

    // Bidirectional: the server calls our servant, on the same connection.
    let (messages, mut message) = mpsc::channel(1);
    let terminal = ITerminalServant::new(TerminalImpl(messages));
    server.connection().add_servant(terminal);
    server.bidirection_oneway().await?;
    println!("onMessage: {}", message.recv().await.unwrap_or_default());
    Ok(())
}
