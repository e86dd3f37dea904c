//! The server: answers calls that come by the queue `mq_server`.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use example_base_mq::{ServerImpl, test::ServerServant};
use tce_runtime::{config::MqConfig, prelude::*};

/// The server of the message queue example
#[derive(Parser)]
struct Args {
    /// Which queues there are, and what each program does with them
    #[arg(long, default_value = "config.yml")]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let communicator = Communicator::new();
    communicator
        .open_mq(MqConfig::load(args.config, "server")?)
        .await?;

    let adapter = Adapter::listen(&communicator, "mq:mq_server").await?;
    adapter.add_servant(ServerServant::new(ServerImpl));
    println!("listening on {}", adapter.endpoint());
    adapter.start();

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to end. What is
    // in the queue stays there for the next server.
    communicator
        .wait_for_shutdown(Duration::from_secs(10))
        .await?;
    println!("stopped");
    Ok(())
}
