//! The server and both gateways in one process, without RabbitMQ.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;
use example_sendmessage::serve;
use tce_gateway::{Gateway, log};
use tce_runtime::{MemoryBroker, config::MqConfig, prelude::*};

/// The server and both gateways of the sendmessage example, without a broker
#[derive(Parser)]
struct Args {
    /// The file that defines the gateways' endpoints and routes
    #[arg(long, default_value = "services.xml")]
    services: PathBuf,
    /// The file that defines the queues; hosts and ports are ignored
    #[arg(long, default_value = "config.yml")]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    // From here on, SIGTERM and Ctrl-C let calls in flight complete.
    tce_runtime::catch_termination().await?;
    let _log = log::init("warn", log::LogFormat::Text)?;
    let broker = MemoryBroker::new();

    let communicator = Communicator::new();
    let queues = MqConfig::load(args.config, "server")?;
    communicator.open_mq_in_memory(queues, &broker).await?;
    serve(&communicator).await?;

    let mut gateways = Vec::new();
    for name in ["gwserver", "gwserver_ws"] {
        let gateway = Gateway::load(&args.services, name, &[])?;
        let gateway = gateway.in_memory(&broker).start().await?;
        for address in gateway.addresses() {
            println!("listening on {address}");
        }
        gateways.push(gateway);
    }

    // Until SIGTERM or Ctrl-C; then calls in flight have 10 s to complete.
    communicator
        .wait_for_shutdown(Duration::from_secs(10))
        .await?;
    for gateway in gateways {
        gateway.shutdown().await;
    }
    println!("stopped");
    Ok(())
}
