//! Server and client in one process, and no RabbitMQ: how a program is tested that uses queues.

use std::{error::Error, time::Duration};

use example_base_mq::{
    ServerImpl, call_in_every_way,
    test::{ServerPrx, ServerServant},
};
use tce_runtime::{MemoryBroker, config::MqConfig, prelude::*};

/// The programs' own configuration; its hosts and ports mean nothing here.
const CONFIG: &str = include_str!("../../config.yml");

/// A communicator of one of the two, at a broker within the process.
async fn open(process: &str, broker: &MemoryBroker) -> Result<Communicator, Box<dyn Error>> {
    let communicator = Communicator::new();
    let config = MqConfig::parse(CONFIG, "config.yml", process)?;
    communicator.open_mq_in_memory(config, broker).await?;
    Ok(communicator)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = MemoryBroker::new();
    let (servers, clients) = (
        open("server", &broker).await?,
        open("client", &broker).await?,
    );

    let adapter = Adapter::listen(&servers, "mq:mq_server").await?;
    adapter.add_servant(ServerServant::new(ServerImpl)).start();

    let server = ServerPrx::connect(&clients, "mq:mq_server").await?;
    call_in_every_way(&server).await?;

    clients.shutdown(Duration::from_secs(1)).await;
    // The call that took too long is still at work.
    servers.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
