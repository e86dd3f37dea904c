//! Server and client in one process, without RabbitMQ: for tests of programs that use queues.

use std::{error::Error, time::Duration};

use example_base_mq::{
    ServerImpl, make_every_kind_of_call,
    test::{ServerPrx, ServerServant},
};
use tce_runtime::{MemoryBroker, config::MqConfig, prelude::*};

/// The programs' own configuration; its hosts and ports are ignored here.
const CONFIG: &str = include_str!("../../config.yml");

/// A communicator of the server or the client, with a broker within the process.
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
    make_every_kind_of_call(&server).await?;

    clients.shutdown(Duration::from_secs(1)).await;
    // The servant of the call that timed out is still running.
    servers.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
