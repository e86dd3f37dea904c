//! The client's calls.

use std::{error::Error, time::Duration};

use tce_runtime::prelude::*;
use tokio::sync::mpsc;

use crate::test::{ITerminal, ITerminalServant, ServerPrx};

/// The servant that the server calls back.
struct TerminalImpl(mpsc::Sender<String>);

impl ITerminal for TerminalImpl {
    async fn on_message(&self, message: String, _ctx: &Context) -> Result<(), Fault> {
        self.0.send(message).await?;
        Ok(())
    }
}

/// Makes every kind of call, and is called back.
///
/// # Errors
/// If a call fails, the one with a timeout excepted.
pub async fn make_every_kind_of_call(server: &ServerPrx) -> Result<(), Box<dyn Error>> {
    println!("twoway: {}", server.echo("hello").await?);

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

    // Oneway: no answer. Returns when the broker has confirmed it, since the queue is durable.
    server.heartbeat_oneway("hello world!").await?;

    // Bidirectional: the server calls our servant, through the queue of our answers.
    let (messages, mut message) = mpsc::channel(1);
    let terminal = ITerminalServant::new(TerminalImpl(messages));
    server.connection().add_servant(terminal);
    server.bidirection_oneway().await?;
    println!("onMessage: {}", message.recv().await.unwrap_or_default());
    Ok(())
}
