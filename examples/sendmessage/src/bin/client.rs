//! A user's program: logs in at a gateway, sends typed messages, and prints received ones.

use std::error::Error;

use clap::Parser;
use example_sendmessage::sendmessage::{IMessageServerPrx, ITerminal, ITerminalServant};
use tce_runtime::prelude::*;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// A user of the sendmessage example
#[derive(Parser)]
struct Args {
    /// The user's name
    user: String,
    /// The gateway's endpoint: tcp://host:port or ws://host:port
    #[arg(long, default_value = "tcp://localhost:12002")]
    endpoint: String,
}

struct TerminalImpl;

impl ITerminal for TerminalImpl {
    async fn on_message(&self, from: String, text: String, _ctx: &Context) -> Result<(), Fault> {
        println!("{from}: {text}");
        Ok(())
    }

    async fn on_user(&self, user: String, is_online: bool, _ctx: &Context) -> Result<(), Fault> {
        println!("{user} is {}", if is_online { "online" } else { "offline" });
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let communicator = Communicator::new();
    let server = IMessageServerPrx::connect(&communicator, &args.endpoint).await?;
    // Added before the login, after which the server may call at any time.
    let terminal = ITerminalServant::new(TerminalImpl);
    server.connection().add_servant(terminal);

    // The first call of a connection logs in. All calls carry the token, since any may be the first
    // after a reconnect.
    let server = server.with_extra([("__token__", args.user.as_str())]);
    server.login().await?;
    println!("logged in as {}", args.user);

    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Some((to, text)) = line.split_once(' ') else {
            println!("write a user's name, a space and the message");
            continue;
        };
        if let Err(error) = server.send_message(to, text).await {
            println!("not sent: {}", error.text());
        }
    }
    Ok(())
}
