//! What the client calls.

use std::{error::Error, time::Duration};

use tce_runtime::prelude::*;
use tokio::sync::mpsc;

use crate::test::{ITerminal, ITerminalServant, ServerPrx};

/// What the server calls back.
struct TerminalImpl(mpsc::Sender<String>);

impl ITerminal for TerminalImpl {
    async fn on_message(&self, message: String, _ctx: &Context) -> Result<(), Fault> {
        self.0.send(message).await?;
        Ok(())
    }
}

/// Calls the server in every way, and is called back.
///
/// # Errors
/// A call failed that should not have.
pub async fn call_in_every_way(server: &ServerPrx) -> Result<(), Box<dyn Error>> {
    println!("twoway: {}", server.echo("hello").await?);

    // Extra: pairs that travel beside the parameters.
    let named = server.with_extra([("name", "scott.bo")]);
    println!("extra: {}", named.echo("hello").await?);

    // Async: the call is sent here, its result awaited later.
    let pending = server.echo("pingpang");
    println!("async: {}", pending.await?);

    // A call that takes longer than it may.
    let hurried = server.with_timeout(Duration::from_secs(1));
    if let Err(error) = hurried.timeout(3).await {
        println!("timeout: {error}");
    }

    // Oneway: nobody answers. Into a durable queue: returns once the broker has it safe.
    server.heartbeat_oneway("hello world!").await?;

    // Bidirectional: the server calls a servant of ours, by the queue of our answers.
    let (messages, mut message) = mpsc::channel(1);
    let terminal = ITerminalServant::new(TerminalImpl(messages));
    server.connection().add_servant(terminal);
    server.bidirection_oneway().await?;
    println!("onMessage: {}", message.recv().await.unwrap_or_default());
    Ok(())
}
