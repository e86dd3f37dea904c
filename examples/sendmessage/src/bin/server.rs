//! The server, by the queues of a broker.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use example_sendmessage::serve;
use tce_runtime::{config::MqConfig, prelude::*};

/// The server of the sendmessage example
#[derive(Parser)]
struct Args {
    /// Which queues there are, and what the server does with them
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
    serve(&communicator).await?;
    println!("listening on mq:mq_server");

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to end.
    communicator
        .wait_for_shutdown(Duration::from_secs(10))
        .await?;
    println!("stopped");
    Ok(())
}
