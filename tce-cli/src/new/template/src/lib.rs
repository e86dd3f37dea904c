//! The generated code, and the servant that the server and the tests use.

use parking_lot::Mutex;
use tce_runtime::prelude::*;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

// Generated from idl/{{module}}.idl: a trait, a servant and a proxy for each interface.
tce_runtime::include_idl!({{module}});

use crate::{{module}}::{Greeter, ListenerPrx};

/// Implements `Greeter`.
#[derive(Default)]
pub struct GreeterImpl {
    listeners: Mutex<Vec<ListenerPrx>>,
}

impl Greeter for GreeterImpl {
    async fn greet(&self, name: String, _ctx: &Context) -> Result<String, Fault> {
        if name.is_empty() {
            return Err(Fault::new(ErrorCode::RemoteException, "the name is empty"));
        }
        let listeners = {
            let mut listeners = self.listeners.lock();
            listeners.retain(|listener| listener.connection().is_connected());
            // The lock must not be held while a call is awaited.
            listeners.clone()
        };
        for listener in listeners {
            if let Err(error) = listener.greeted_oneway(&name).await {
                eprintln!("can't call a listener: {error}");
            }
        }
        Ok(format!("Hello, {name}!"))
    }

    async fn listen(&self, ctx: &Context) -> Result<(), Fault> {
        self.listeners.lock().push(ListenerPrx::to_caller(ctx));
        Ok(())
    }
}

/// Logs to standard error what the runtime warns of; `RUST_LOG=debug` shows more.
pub fn log_to_stderr() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_writer(std::io::stderr)
        .init();
}
