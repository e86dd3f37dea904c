//! The call on the first screen of the repository's `README.md`.

use example_simple::test::ServerPrx;
use tce_runtime::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let communicator = Communicator::new();
    let server = ServerPrx::connect(&communicator, "tcp://localhost:12002").await?;
    println!("{}", server.echo("hello").await?);
    Ok(())
}
