//! The client: calls the server, which calls it back.

use std::error::Error;

use tce_runtime::prelude::*;

use {{module}}::{{module}}::{GreeterPrx, Listener, ListenerServant};

const ENDPOINT: &str = "tcp://localhost:12002";

struct ListenerImpl;

impl Listener for ListenerImpl {
    async fn greeted(&self, name: String, _ctx: &Context) -> Result<(), Fault> {
        println!("{name} was greeted");
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    {{module}}::log_to_stderr();
    let endpoint = std::env::args().nth(1);
    let communicator = Communicator::new();
    let greeter =
        GreeterPrx::connect(&communicator, endpoint.as_deref().unwrap_or(ENDPOINT)).await?;
    // The server calls back on the same connection.
    let listener = ListenerServant::new(ListenerImpl);
    greeter.connection().add_servant(listener);
    greeter.listen().await?;
    println!("{}", greeter.greet("Ann").await?);
    Ok(())
}
