//! The server: answers calls from the queue `mq_server`.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use example_base_mq::{ServerImpl, test::ServerServant};
use tce_runtime::{config::MqConfig, prelude::*};

/// The server of the message queue example
#[derive(Parser)]
struct Args {
    /// The file that defines the queues and the use that each program makes of them
    #[arg(long, default_value = "config.yml")]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    // From here on, SIGTERM and Ctrl-C let calls in flight complete.
    tce_runtime::catch_termination().await?;
    let communicator = Communicator::new();
    communicator
        .open_mq(MqConfig::load(args.config, "server")?)
        .await?;

    let adapter = Adapter::listen(&communicator, "mq:mq_server").await?;
    adapter.add_servant(ServerServant::new(ServerImpl));
    println!("listening on {}", adapter.endpoint());
    adapter.start();

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to complete. Messages
    // in the queue stay there for the next server.
    communicator
        .wait_for_shutdown(Duration::from_secs(10))
        .await?;
    println!("stopped");
    Ok(())
}
