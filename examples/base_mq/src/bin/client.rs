//! The client: sends calls to the queue `mq_server` and receives answers from `mq_client`.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use example_base_mq::{make_every_kind_of_call, test::ServerPrx};
use tce_runtime::{config::MqConfig, prelude::*};

/// The client of the message queue example
#[derive(Parser)]
struct Args {
    /// The file that defines the queues and the use that each program makes of them
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
    make_every_kind_of_call(&server).await?;

    // Sends pending acknowledgements; the broker redelivers messages without one.
    communicator.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
