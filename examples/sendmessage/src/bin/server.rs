//! The server, with the queues of a broker.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use example_sendmessage::serve;
use tce_runtime::{config::MqConfig, prelude::*};

/// The server of the sendmessage example
#[derive(Parser)]
struct Args {
    /// The file that defines the queues and the server's use of them
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
    serve(&communicator).await?;
    println!("listening on mq:mq_server");

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to complete.
    communicator
        .wait_for_shutdown(Duration::from_secs(10))
        .await?;
    println!("stopped");
    Ok(())
}
