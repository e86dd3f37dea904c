//! The client: calls by the queue `mq_server`, and is answered by `mq_client`.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use example_base_mq::{call_in_every_way, test::ServerPrx};
use tce_runtime::{config::MqConfig, prelude::*};

/// The client of the message queue example
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
        .open_mq(MqConfig::load(args.config, "client")?)
        .await?;

    let server = ServerPrx::connect(&communicator, "mq:mq_server").await?;
    call_in_every_way(&server).await?;

    // What was handled is acknowledged, or the broker delivers it to the next client again.
    communicator.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
